@echo off
rem Starts skyproxy from this folder: makes an environment the first time, then serves until Ctrl-C.
rem Use: put it beside setup.cfg, then double-click it.
rem Tried: not on Windows; its commands are those of the guide.
cd /d "%~dp0"
if not exist .venv\Scripts\skyproxy.exe (
    py -3 -m venv .venv || python -m venv .venv
    .venv\Scripts\pip install . || goto failed
)
.venv\Scripts\skyproxy run %*
if errorlevel 1 goto failed
exit /b 0
:failed
pause
exit /b 1
