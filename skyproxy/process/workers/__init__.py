"""Several worker processes behind one parent: see :mod:`skyproxy.process.workers.parent`."""
