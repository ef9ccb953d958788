"""Running the service in this process, without twistd: in a terminal, from a shortcut, in a frozen program."""

from __future__ import annotations

from typing import Any

from twisted.application.app import startApplication
from twisted.application.service import Application, IService
from twisted.logger import ILogObserver, globalLogBeginner


def serve(service: IService, reactor: Any) -> None:
    """Run *service* until a signal ends it.

    :param service: as ``makeService`` gives it; it may bring the log's observer with it, as twistd lets it.
    :param reactor: the installed one.
    """
    application: Any = Application("skyproxy")
    service.setServiceParent(application)
    observer = application.getComponent(ILogObserver)
    if observer is not None:
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    startApplication(application, False)
    reactor.run()
