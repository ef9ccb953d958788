"""How all is, in one sentence, and what to do: the first that holds; others follow it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from skyproxy.telemetry.requests.words import duration, job, money, of_people, quoted
from skyproxy.telemetry.state import thresholds as limits
from skyproxy.telemetry.state.instead import instead_of
from skyproxy.telemetry.state.samples import KEY_INVALID, UNREACHED, Word
from skyproxy.telemetry.state.sentence import Level, Sentence
from skyproxy.telemetry.state.slots import SlotHealth
from skyproxy.telemetry.state.snapshot import ProviderState, Snapshot


def sentences_of(snapshot: Snapshot, health: Mapping[str, SlotHealth]) -> list[Sentence]:
    """All that holds, the most important first; never empty."""
    found = [
        *_of_the_configuration(snapshot),
        *_of_providers(snapshot),
        *_of_slots(snapshot, health),
        *_of_strangers(snapshot),
        *_of_load(snapshot),
        *_of_limits(snapshot),
        *_of_budgets(snapshot),
        *_of_speed(snapshot, health),
        *_of_skyproxy(snapshot),
    ]
    by_hand = list(_of_hand(snapshot))
    if found:
        return [*found, *by_hand]
    if not snapshot.requests and not snapshot.under_way:
        advice = f"Type this into SkyrimNet: {snapshot.url}/chat/completions"
        return [Sentence("waiting", "neutral", "Waiting for the first request.", advice), *by_hand]
    if any(each.paused is not None for each in snapshot.slots):
        return by_hand
    return [Sentence("all_well", "good", "All well.", _summary(snapshot)), *by_hand]


def _of_hand(snapshot: Snapshot) -> Iterator[Sentence]:
    """What people have paused: it is no fault, and the last to be told. Slots, which are refused, come first."""
    paused: dict[str, str] = {}
    for provider in snapshot.providers:
        of_models = {f"{provider.name}:{each.model}": each.paused for each in provider.deployments}
        of_all = {provider.name: provider.paused} if provider.paused is not None else of_models
        paused |= {change.action: name for name, change in of_all.items() if change is not None}
    for slot in snapshot.slots:
        if slot.paused is not None:
            advice = f"`skyproxy resume {paused.get(slot.paused.action, slot.name)}` resumes it."
            yield Sentence("paused", "neutral", f"{job(slot.name)} is paused by you.", advice, slot.name)
    for name in paused.values():
        yield Sentence("paused", "neutral", f"{name} is paused by you.", f"`skyproxy resume {name}` resumes it.", name)


def _of_the_configuration(snapshot: Snapshot) -> Iterator[Sentence]:
    if not snapshot.reloaded:
        serves = "the built-in demo answers" if snapshot.demo else "the old one serves on"
        yield Sentence(
            "reload_failed", "bad", f"The new configuration cannot be used; {serves}.",
            "`skyproxy check` says what is wrong with it.",
        )  # fmt: skip
    elif snapshot.demo:
        yield Sentence(
            "demo", "bad", "The built-in demo answers: no configuration was found.",
            "`skyproxy init` writes one; `skyproxy check` says where it was looked for.",
        )  # fmt: skip


_MOSTLY_SPENT = 0.8
"""The share of a budget from which on it is told that little is left."""


def _of_budgets(snapshot: Snapshot) -> Iterator[Sentence]:
    """What is spent, and what cannot be written down of it."""
    if snapshot.unwritable:
        yield Sentence(
            "budgets_unwritable",
            "bad",
            "What is spent cannot be written down: requests that cost something are refused.",
            f"The disk may be full: {snapshot.unwritable}",
        )
    for each in snapshot.budgets:
        amount = money(each.amount, each.currency)
        whole = f"{amount} in all" if each.per == "all" else f"{amount} per {each.per}"
        name = each.name[:1].upper() + each.name[1:]
        if each.used >= 1:
            text = f"{name} has spent all of {whole}."
            served = f"{each.instead} serves meanwhile" if each.instead else "Requests that cost something are refused"
            advice = f"{served}; raise it, or wait until it begins anew."
            yield Sentence("budget_spent", "warning", text, advice, each.name)
        elif each.used >= _MOSTLY_SPENT:
            text = f"{name} has spent {money(each.spent, each.currency)} of {whole}."
            yield Sentence("budget_mostly_spent", "neutral", text, "", each.name)


_OF_PROVIDERS = ("key_invalid", "no_credit", "unreachable", "path_unknown", "model_unknown")
_OF_ALL_MODELS = ("key_invalid", "no_credit", "unreachable")
"""What a provider says whatever model is asked for: another provider could be used."""

_NO_SUCH_PATH = re.compile(
    r"^\W*(?:404\W*)?(?:(?:page|file|path|route|endpoint) )?not found\W*$|<title>[^<]*404|\brequested url\b"
    r"|^(?:405\W*)?method not allowed\b"
    r"|^invalid url|unexpected endpoint|\bcannot (?:get|post) /|\bno route\b|\bunknown (?:path|url|route|endpoint)\b",
    re.IGNORECASE,
)
"""What servers say of a path that they do not have: Ollama, llama.cpp, LM Studio, FastAPI, Express, Kong, nginx,
Google, OpenAI. Whoever has no such model says something of it.
"""

_NOT_SO = re.compile(
    r"^no endpoints (?:found|available) (?:matching|that)|^no allowed providers|^all providers have been", re.IGNORECASE
)
"""What OpenRouter says of a model that it has, and does not serve by these settings, or to such a request."""

_OF_PATHS = "Check it in the configuration: most end in /v1."


def _of_providers(snapshot: Snapshot) -> Iterator[Sentence]:
    """What keeps a provider from answering at all."""
    found: list[tuple[int, Sentence]] = []
    told: set[tuple[str, str]] = set()
    for provider in snapshot.providers:
        if provider.key_missing is not None and provider.needed:
            text = f"{provider.name} has no key."
            advice = f"Put {provider.key_missing} into .env; `skyproxy reload` reads it."
            found.append((0, Sentence("key_missing", "bad", text, advice, provider.name)))
    for word in _bad_words(snapshot):
        sentence = _of_word(word, snapshot)
        if sentence is not None and (sentence.code, sentence.about) not in told:
            instead = instead_of(word.provider, snapshot) if sentence.code in _OF_ALL_MODELS else None
            if instead is not None:
                sentence = sentence._replace(slot=instead[0], use=instead[1])
            told.add((sentence.code, sentence.about))
            found.append((_OF_PROVIDERS.index(sentence.code), sentence))
    yield from (sentence for _, sentence in sorted(found, key=lambda each: each[0]))


def _bad_words(snapshot: Snapshot) -> list[Word]:
    names, since = {each.name for each in snapshot.providers}, snapshot.at - limits.TROUBLE_SECONDS
    words = [each for each in snapshot.words.values() if each.code and each.provider in names and each.at >= since]
    # Of models that are in no slot, which clients name as they like, there may be hundreds: the last one tells enough.
    named = {candidate for slot in snapshot.slots for candidate in slot.candidates}
    odd = [each for each in words if each.code == "model_unknown" and (each.provider, each.model) not in named]
    untold = set(sorted(odd, key=lambda each: each.at)[:-1])
    return [each for each in words if each not in untold]


def _of_word(word: Word, snapshot: Snapshot) -> Sentence | None:
    provider = next(each for each in snapshot.providers if each.name == word.provider)
    name, said = word.provider, quoted(word.text) if word.text else ""
    if word.code == KEY_INVALID:
        key = provider.keys[0].variable if len(provider.keys) == 1 else ""
        text = f"{name} refuses your key{' ' if key else ''}{key}."
        return Sentence("key_invalid", "bad", text, _where_keys_are(provider), name)
    if word.code == "no_credit":
        return Sentence("no_credit", "bad", f"{name}: no credits left.", said or f"Add credits at {name}.", name)
    if word.code in UNREACHED:
        return _unreachable(provider, word)
    if word.code == "model_unknown":
        if _NO_SUCH_PATH.search(word.text):
            return _nothing_there(name, word.endpoint)
        if _NOT_SO.search(word.text):
            text = f"{name} does not serve {word.model} as it was asked."
            return Sentence("model_unknown", "bad", text, said, f"{name}:{word.model}")
        advice = f"`ollama pull {word.model}`" if name == "ollama" else "Check the model's name."
        return Sentence("model_unknown", "bad", f"{name} has no model {word.model}.", advice, f"{name}:{word.model}")
    return None


def _where_keys_are(provider: ProviderState) -> str:
    places = {each.place for each in provider.keys}
    if places == {"environment"}:
        return "Check it in the environment, which goes before .env, and start skyproxy anew."
    where = places.pop() if len(places) == 1 else ".env, and in the environment"
    return f"Check it in {where}; `skyproxy reload` reads it again."


def _nothing_there(name: str, endpoint: str) -> Sentence:
    if endpoint == "/chat/completions":
        return Sentence("path_unknown", "bad", f"{name} has nothing at its base_url.", _OF_PATHS, name)
    advice = "Clients that ask for it need another provider."
    return Sentence("path_unknown", "bad", f"{name} does not serve {endpoint}.", advice, name)


def _unreachable(provider: ProviderState, word: Word) -> Sentence:
    name = provider.name
    if provider.local and name == "ollama":
        advice = "`ollama serve`, or point its slots elsewhere."
        return Sentence("unreachable", "bad", "Ollama does not run: start it.", advice, name)
    if provider.local:
        text, advice = f"{name} does not run: start its server.", "Or point its slots elsewhere."
        return Sentence("unreachable", "bad", text, advice, name)
    return Sentence("unreachable", "bad", f"{name} cannot be reached.", word.text or "Check the network.", name)


def _of_slots(snapshot: Snapshot, health: Mapping[str, SlotHealth]) -> Iterator[Sentence]:
    ranks = {"not_answering": 0, "unreliable": 1, "some_errors": 2}
    troubled = [each for each in snapshot.slots if health[each.name].health in ranks]
    for slot in sorted(troubled, key=lambda each: ranks[health[each.name].health]):
        found = health[slot.name]
        name = job(slot.name)
        failed = [each for each in slot.samples if each.good is False] or [each for each in slot.samples if each.code]
        bad = failed[-1].request_id if failed else ""
        text = {
            "not_answering": f"{name} does not answer.",
            "unreliable": f"{name} is unreliable.",
            "some_errors": f"{name} had some errors.",
        }[found.health]
        level: Level = "warning" if found.health == "some_errors" else "bad"
        yield Sentence(found.health, level, text, found.line, slot.name, bad)


def _of_strangers(snapshot: Snapshot) -> Iterator[Sentence]:
    """Requests for what is no slot. A game that still has the models of another endpoint is silent by them."""
    if snapshot.unknown >= limits.UNRELIABLE_IN_A_ROW:
        text = f"{of_people(snapshot.unknown, 'request', 'requests')} asked for what is no slot."
        advice = f"{snapshot.unknown_said} Type slots as SkyrimNet's models, or write fallback_to_default: true."
        yield Sentence("no_slot", "bad", text, advice, request_id=snapshot.unknown_id)


def _of_load(snapshot: Snapshot) -> Iterator[Sentence]:
    for each in snapshot.providers:
        if each.max_pending and each.waiting > limits.QUEUE_SHARE * each.max_pending:
            advice = f"{each.name} takes {each.limit} at once now; raise max_concurrent if it allows more."
            waiting = of_people(each.waiting, "waits", "wait")
            yield Sentence("too_busy", "bad", f"Too busy: {waiting} for {each.name}.", advice, each.name)
            return
    if snapshot.refused:
        refused = of_people(snapshot.refused, "request was", "requests were")
        yield Sentence(
            "too_busy", "bad", f"Too busy: {refused} refused in the last minute.",
            "Give the slot a fallback, or raise max_concurrent.",
        )  # fmt: skip


def _of_limits(snapshot: Snapshot) -> Iterator[Sentence]:
    for provider in snapshot.providers:
        for each in provider.deployments:
            rest = max(each.rests.values(), default=0.0)
            breaker = each.breaker or provider.breaker
            if rest > 0:
                word = snapshot.words.get((provider.name, each.model))
                said = f" {quoted(word.of_a_limit)}" if word is not None and word.of_a_limit else ""
                again = f"{each.model} is asked again in {duration(rest)}.{said}"
                key = min(each.rests, key=each.rests.__getitem__)
                if key and each.rests[key] > _LONG_REST_SECONDS:
                    again += f" `skyproxy resume {provider.name} --key {key}` asks it at once."
                yield Sentence("rate", "warning", f"{provider.name} is at its rate limit.", again, provider.name)
            elif breaker is not None and breaker.state == "open":
                again = f"It is asked again in {duration(breaker.retry_in)}."
                cause = f" {breaker.cause}" if breaker.cause else ""
                name = f"{provider.name}:{each.model}"
                yield Sentence("breaker", "warning", f"{name} is left alone for now.", f"{again}{cause}", name)


_LONG_REST_SECONDS = 60.0  # Seconds, from which on it is told how to end a rest.


def _of_speed(snapshot: Snapshot, health: Mapping[str, SlotHealth]) -> Iterator[Sentence]:
    for slot in snapshot.slots:
        speed = health[slot.name].speed
        if speed.pace == "slow_to_start" and speed.p50 is not None:
            text = f"{job(slot.name)} is slow to start talking: {duration(speed.p50)}."
            yield Sentence("slow", "warning", text, "Choose a quicker model, or set hedge_after.", slot.name)
        elif speed.pace == "slow" and speed.p50 is not None:
            text = f"{job(slot.name)} is slow to answer: {duration(speed.p50)}."
            yield Sentence("slow", "warning", text, "Choose a quicker model.", slot.name)


def _of_skyproxy(snapshot: Snapshot) -> Iterator[Sentence]:
    level: Level
    lag = snapshot.lag_p99
    if lag is not None and lag > limits.LAG_P99 and snapshot.uptime > limits.LAG_SECONDS:
        text = f"skyproxy itself is slow: its event loop is late by {duration(lag)}."
        yield Sentence("lag", "warning", text, "The machine has too much to do.")
    if snapshot.missing:
        level = "bad" if snapshot.missing == snapshot.workers else "warning"
        verb = "does" if snapshot.missing == 1 else "do"
        text = f"{snapshot.missing} of {snapshot.workers} workers {verb} not serve."
        yield Sentence("workers", level, text, "The log says why.")
    if snapshot.alone and snapshot.uptime > limits.ALONE_SECONDS:
        level = "bad" if snapshot.waits else "warning"
        follows = "requests wait" if snapshot.waits else "this machine goes on by itself"
        text = f"The Redis of the shared limits cannot be used: {follows}."
        yield Sentence("alone", level, text, "The log says why. Nothing is to be done here once it is back.")
    if snapshot.log_lost:
        lost = of_people(snapshot.log_lost, "line of the log is", "lines of the log are")
        yield Sentence("log_lost", "warning", f"{lost} lost.", "The disk is too slow, or full.")


def _summary(snapshot: Snapshot) -> str:
    ends = [each.at for slot in snapshot.slots for each in slot.samples if each.good]
    parts = [f"Last answer {duration(max(0.0, snapshot.at - max(ends)))} ago."] if ends else []
    costs = [f"{money(cost, currency)} an hour" for currency, cost in snapshot.cost_hour.items()]
    return " ".join([*parts, f"{', '.join(costs)}." if costs else ""]).strip()
