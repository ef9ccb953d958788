"""Commands that ask a skyproxy that runs, or its log."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from tests.e2e.commands import PROGRAM, Run, skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.raw import ask, chat, open_request, read_all


def test_status_reload_and_stop(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    path = written(tmp_path, config_for(demo, {"drain_timeout": "60s"}))
    for command in ("status", "top", "reload", "stop"):
        done = skyproxy(tmp_path, command, env=env)
        assert done.returncode == 1 and "no skyproxy runs for this user: start it" in done.stderr, command
    run = start(Run, "--config", str(path), env=env)
    (own,) = (runtime / "skyproxy").iterdir()
    assert own.stat().st_mode & 0o077 == 0 and own.parent.stat().st_mode & 0o077 == 0
    ask(run, chat("combat"))
    done = skyproxy(tmp_path, "status", env=env)
    assert done.returncode == 0, done.stderr
    assert run.base_url in done.stdout and str(path) in done.stdout and "demo" in done.stdout
    told = json.loads(skyproxy(tmp_path, "status", "--json", env=env).stdout)
    assert told["pid"] == run.child.pid and told["stats"]["providers"]["demo"]["outcomes"]["ok"] == 1
    done = skyproxy(tmp_path, "top", env=env)
    assert done.returncode == 0 and "event loop lag" in done.stdout and "No provider or model rests." in done.stdout
    for command in ("status", "top"):
        told = skyproxy(tmp_path, command, env=env).stdout
        assert "All well." in told and "1 of 1 answered." in told and "Too few to say" in told, told
    assert skyproxy(tmp_path, "reload", env=env).stdout == "Nothing is different.\n"
    config = config_for(demo, {"drain_timeout": "60s"})
    config["model_slots"]["combat"]["model"] = "other"
    written(tmp_path, config)
    done = skyproxy(tmp_path, "reload", env=env)
    assert done.returncode == 0 and "slot combat" in done.stdout, done.stdout
    config["providers"]["other"] = {"base_url": "https://x.example/v1", "api_key_env": "OTHER_KEY"}
    config["model_slots"]["combat"]["provider"] = "other"
    written(tmp_path, config)
    (tmp_path / ".env").write_text("OTHER_KEY: k\n")
    done = skyproxy(tmp_path, "reload", env=env)
    assert done.returncode == 0 and "read again" in done.stdout, done
    assert "warning: " in done.stderr and ".env:1: there is a colon where = is wanted" in done.stderr, done.stderr
    assert "warning: Provider 'other' has no key" in done.stderr
    path.write_text("providers: {a: {base_ur: x}}\n")
    done = skyproxy(tmp_path, "reload", env=env)
    assert done.returncode == 1 and "did you mean 'base_url'?" in done.stderr and "the old one serves on" in done.stderr
    told = json.loads(skyproxy(tmp_path, "reload", "--json", env=env).stdout)
    assert told["good"] is False and told["problems"]
    connection = open_request(run, chat("demo:guard;first=4"))
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    done = skyproxy(tmp_path, "stop", env=env)
    assert done.returncode == 0 and "has stopped" in done.stdout
    assert demo.stats()["active"] == 0, "it has waited for what was under way"
    assert b"200 OK" in read_all(connection)
    assert run.wait() == 0


def test_a_game_that_names_other_models(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    """It has the address of skyproxy, and still the models of the endpoint before: every character is silent."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    run = start(Run, "--config", str(written(tmp_path, config_for(demo))), env=env)
    for _ in range(3):
        assert ask(run, chat("mistralai/mistral-small")).status == 400
    told = skyproxy(tmp_path, "status", env=env).stdout
    assert "3 requests asked for what is no slot." in told and "No model slot 'mistralai/mistral-small'" in told
    assert "All well." not in told
    shown = json.loads(skyproxy(tmp_path, "status", "--json", env=env).stdout)["now"]["sentence"]
    assert shown["code"] == "no_slot" and shown["request_id"]


def test_a_reload_of_one_that_stops(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    path = written(tmp_path, config_for(demo, {"drain_timeout": "60s"}))
    run = start(Run, "--config", str(path), env=env)
    connection = open_request(run, chat("demo:guard;first=4"))
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    assert skyproxy(tmp_path, "stop", "--no-wait", env=env).returncode == 0
    done = skyproxy(tmp_path, "reload", env=env)
    # Nothing is said against the configuration, which nobody has looked at.
    assert done.returncode == 1 and "stopping" in done.stderr and "cannot be used" not in done.stderr
    assert b"200 OK" in read_all(connection)
    assert run.wait() == 0


def test_several_that_run(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    path = str(written(tmp_path, config_for(demo)))
    first, second = start(Run, "--config", path, env=env), start(Run, "--config", path, env=env)
    done = skyproxy(tmp_path, "status", env=env)
    assert done.returncode == 2 and f"--pid {first.child.pid}" in done.stderr and second.base_url in done.stderr
    assert second.base_url in skyproxy(tmp_path, "status", "--pid", str(second.child.pid), env=env).stdout
    # One that was killed leaves its socket behind; the next to start removes it.
    second.kill()
    assert first.base_url in skyproxy(tmp_path, "status", env=env).stdout
    third = start(Run, "--config", path, env=env)
    names = {each.name for each in (runtime / "skyproxy").iterdir()}
    assert names == {f"{first.child.pid}.sock", f"{third.child.pid}.sock"}


def test_a_folder_that_is_not_private_keeps_nobody_from_serving(
    start: Starter, demo: DemoProvider, tmp_path: Path
) -> None:
    runtime = tmp_path / "run"
    (runtime / "skyproxy").mkdir(parents=True)
    (runtime / "skyproxy").chmod(0o777)
    run = start(Run, "--config", str(written(tmp_path, config_for(demo))), env={"XDG_RUNTIME_DIR": str(runtime)})
    assert ask(run, chat("combat")).status == 200
    eventually(lambda: any("can be written to by others" in line for line in run.output), "it is told")
    assert list((runtime / "skyproxy").iterdir()) == []


def test_chat(proxy: Proxy, tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "chat", "combat", "Who", "goes", "there?", "--url", proxy.base_url)
    assert done.returncode == 0 and done.stdout.strip()
    assert "first token" in done.stderr and "first sentence" in done.stderr and "tokens/s" in done.stderr
    done = skyproxy(tmp_path, "chat", "combat", "Hello", "--json", "--url", proxy.origin)
    told = json.loads(done.stdout)
    assert told["status"] == 200 and told["text"] and 0 < told["first_token"] <= told["first_sentence"] <= told["whole"]
    done = skyproxy(tmp_path, "chat", "combat", "--url", proxy.base_url, typed="Hello\n\nAgain\n")
    assert done.returncode == 0 and done.stderr.count("first token") == 2


def test_chat_without_an_answer(proxy: Proxy, tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "chat", "demo:guard;status=503", "Hello", "--url", proxy.base_url)
    assert done.returncode == 1 and "failed (status 503)" in done.stderr
    nobody = {"XDG_RUNTIME_DIR": str(tmp_path / "nobody")}
    done = skyproxy(tmp_path, "chat", "combat", "Hello", "--url", "http://127.0.0.1:1", env=nobody)
    assert done.returncode == 1 and done.stderr == (
        "skyproxy: nobody listens at http://127.0.0.1:1/v1: start it with `skyproxy run`\n"
    )


def test_chat_finds_the_address_of_the_configuration(proxy: Proxy, demo: DemoProvider, tmp_path: Path) -> None:
    config = config_for(demo)
    config.setdefault("proxy", {})["listen"] = f"tcp:{proxy.address[1]}:interface=127.0.0.1"
    config["prices"] = {"*": {"prompt": 1, "completion": 2}}
    written(tmp_path, config)
    done = skyproxy(tmp_path, "chat", "combat", "Hello")
    assert done.returncode == 0, done.stderr


def test_try(proxy: Proxy, tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "try", "combat", "--n", "3", "--url", proxy.base_url)
    assert done.returncode == 0
    assert "3/3" in done.stderr and "p50" in done.stdout and "3 of 3 answers were good" in done.stdout
    done = skyproxy(tmp_path, "try", "demo:guard;status=500", "-n", "2", "--json", "--url", proxy.base_url)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and (told["requests"], told["good"], len(told["errors"])) == (2, 0, 2)


def test_bench(proxy: Proxy, demo: DemoProvider, tmp_path: Path) -> None:
    more = ("-c", "5", "-d", "1.5", "--slot", "demo:guard;delay=0")
    before = demo.stats()["total"]
    done = skyproxy(tmp_path, "bench", proxy.base_url, "--compare", demo.base_url, *more, "--json")
    told = json.loads(done.stdout)
    # The demo itself is asked for a model that it does not have: it answers 404, and that is not good.
    assert list(told) == [proxy.base_url, demo.base_url]
    ours = told[proxy.base_url]
    assert ours["good"] == ours["answers"] > 0 and not ours["broken"] and set(ours["statuses"]) == {"200"}
    assert 0 < ours["whole"]["p50"] <= ours["whole"]["p99"] and ours["whole"]["mean"] > 0
    assert 0 < ours["processor"] < 2 and ours["processor_wait"] >= 0 and ours["bound_by_bench"] in (True, False)
    assert demo.stats()["total"] - before >= ours["answers"]
    done = skyproxy(tmp_path, "bench", proxy.base_url, *more, "--stream")
    assert done.returncode == 0 and "first byte" in done.stdout and "/s" in done.stderr
    assert re.search(r"with [1-9]\d*% of a processor", done.stdout)
    done = skyproxy(
        tmp_path, "bench", proxy.base_url, "-c", "5", "-d", "2", "--rate", "20", "--slot", "combat", "--json"
    )
    told = json.loads(done.stdout)[proxy.base_url]
    assert 1 <= told["answers"] <= 20 * told["seconds"] + 1
    done = skyproxy(tmp_path, "bench", "127.0.0.1:1", "-c", "2", "-d", "0.5")
    assert done.returncode == 1 and "no connection" in done.stdout
    assert skyproxy(tmp_path, "bench", "ftp://x").returncode == 2


def test_bench_is_interrupted(proxy: Proxy, start: Starter, tmp_path: Path) -> None:
    command = [*PROGRAM, "bench", proxy.base_url, "-c", "2", "-d", "600", "--slot", "demo:guard;delay=0"]
    process = Process(command, tmp_path, environment())
    process.wait_for(r"/s  [1-9]")
    assert process.stop(signal.SIGINT) == 0, process.output
    assert any("answers/s" in line for line in process.output), process.output
    assert not [line for line in process.output if "Traceback" in line or "Unhandled" in line]


def test_logs(proxy: Proxy, tmp_path: Path) -> None:
    ask(proxy, chat("combat"), {"X-Request-Id": "seen-in-the-log"})
    proxy.record("Upstream request completed", request_id="seen-in-the-log")
    where = ("--file", str(proxy.log_file))
    done = skyproxy(tmp_path, "logs", *where, "--request", "seen-in-the-log")
    assert done.returncode == 0 and "Upstream request completed" in done.stdout and "model=combat" in done.stdout
    done = skyproxy(tmp_path, "logs", *where, "--request", "seen-in-the-log", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["request_id"] == "seen-in-the-log"
    assert skyproxy(tmp_path, "logs", *where, "--request", "seen-in-the-log", "--level", "error").stdout == ""
    following = Process([*PROGRAM, "logs", "-f", *where], tmp_path, environment())
    following.wait_for("seen-in-the-log")
    ask(proxy, chat("combat"), {"X-Request-Id": "seen-later"})
    following.wait_for("seen-later")
    assert following.stop(signal.SIGINT) == 0 and not any("Traceback" in line for line in following.output)
    done = skyproxy(tmp_path, "logs")
    assert done.returncode == 1 and "has no log_file" in done.stderr
    done = skyproxy(tmp_path, "logs", "--file", "nothing.log")
    assert done.returncode == 1 and "there is no log file" in done.stderr
