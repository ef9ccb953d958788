"""Makes `twistd skyproxy` known to twistd."""

from twisted.application.service import ServiceMaker

skyproxy = ServiceMaker(
    "skyproxy",
    "skyproxy.tap",
    "Proxy for large-language-model traffic: OpenAI API in front, many providers behind.",
    "skyproxy",
)
