"""``skyproxy service``: skyproxy as a service of this user, which the system starts."""
