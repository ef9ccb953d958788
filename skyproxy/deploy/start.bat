@echo off
rem Starts skyproxy from a checkout: makes an environment the first time, then serves until Ctrl-C.
rem Use: double-click it, here or beside setup.cfg (skyproxy deploy start.bat --output start.bat). Delete .venv after an update.
rem Tried: not on Windows; start.sh, which does the same, on Linux.
rem pushd, since cd cannot enter a folder of another computer.
pushd "%~dp0" || goto failed
if not exist setup.cfg if exist ..\..\setup.cfg cd ..\..
if exist .venv\Scripts\skyproxy.exe goto serve
py -3 -m venv .venv || python -m venv .venv || goto failed
.venv\Scripts\python -m pip install . || goto failed
:serve
.venv\Scripts\skyproxy run %* || goto failed
popd
exit /b 0
:failed
echo skyproxy could not be started, or has ended with an error: the lines above say why.
pause
exit /b 1
