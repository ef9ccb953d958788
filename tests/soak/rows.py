"""The rows: what happens, what must hold, and the tests that try it.

Most tests are those of tests/e2e, at full size; those beside this file are for the soak alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One fault.

    :ivar tests: what pytest is given, below ``tests``.
    :ivar note: what the row cannot say by itself.
    """

    name: str
    happens: str
    must: str
    tests: tuple[str, ...]
    note: str = ""


def _of(module: str, *tests: str) -> tuple[str, ...]:
    """*tests* of a module of tests/e2e."""
    return tuple(f"e2e/test_{module}.py::test_{test}" for test in tests) or (f"e2e/test_{module}.py",)


ROWS = (
    Row(
        "T1", "the provider is killed and started again 50 times under 100,000 requests",
        "none lost; none sent twice once a byte was answered",
        _of("provider_killed", "nothing_is_lost_or_sent_twice_while_the_provider_is_killed"),
    ),
    Row(
        "T2", "the provider closes idle pooled connections under 10,000 POSTs",
        "no failure that the client sees where no byte of an answer came",
        _of("provider_killed", "posts_over_connections_that_the_provider_closes"),
    ),
    Row(
        "T3", "SIGTERM with 200 under way, half of them streams",
        "none lost inside the deadline, new connections refused, exit 0 by the deadline",
        (
            *_of("crowds", "two_hundred_under_way_are_finished_when_it_stops"),
            *_of("crowds", "two_hundred_that_do_not_end_are_told_at_the_deadline"),
            *_of("stop", "the_rest_is_aborted_with_an_error_at_the_deadline"),
            *_of("stop", "readyz_turns_503_and_new_requests_are_refused"),
        ),
    ),
    Row(
        "T4", "SIGKILL and start again, 20 times, under load", "it answers within 2 s; no state is corrupted",
        (*_of("proxy_killed"), *_of("costs", "what_was_under_way_when_it_was_killed")),
    ),
    Row(
        "T5", "1,000 clients leave in mid-stream",
        "the provider is let go within 1 s; no permit and no descriptor leaked; counted as cancelled",
        (
            *_of("crowds", "a_thousand_that_leave_in_mid_stream_leave_nothing_behind"),
            *_of("server_wire", "clients_that_leave_together_ask_no_provider_any_more"),
        ),
    ),
    Row(
        "T6", "200 slow readers", "at most 128 KB of memory for each",
        (
            *_of("crowds", "those_that_do_not_read_cost_little_memory"),
            *_of("streams", "a_reader_that_does_not_read_slows_its_provider"),
            *_of("server_wire", "stalled_reader_is_given_up"),
        ),
    ),
    Row(
        "T7", "1,000 connections send heads or bodies slowly", "absolute deadlines free them; others are served",
        _of("server_wire", "slow_senders_are_freed_while_others_are_served", "slow_senders_are_told"),
    ),
    Row(
        "T8", "descriptors run out (ulimit -n 64)", "no spinning; it serves again when they come back",
        _of(
            "server_wire", "descriptors_run_out", "each_request_gets_an_answer_when_descriptors_run_out",
            "select_serves_more_clients_than_it_can_look_at",
        ),
    ),
    Row(
        "T9", "the log's disk is full; its file is rotated or removed under load",
        "requests go on; one warning; no line lost that could be written",
        (*_of("log_trouble"), *_of("log", "rotation_loses_nothing")),
    ),
    Row(
        "T10", "a configuration that is broken, missing or half-written is reloaded 100 times",
        "the old one serves on; a clear error says file, line and key",
        (*_of("reload_broken"), *_of("start", "a_configuration_that_is_moved_away_serves_on")),
    ),
    Row("T11", "the wall clock jumps a day", "timers, lives in the cache and the breaker are as before", _of("clock")),
    Row(
        "T12", "the provider hangs, resets, lies, floods, or hides an error in a stream",
        "the right error at the right time, bounded memory, the connection not used again",
        (
            *_of("http", "broken_providers", "timeouts_say_which", "junk_after_an_answer_harms_nobody"),
            *_of("values", "too_much_from_a_provider_takes_bounded_memory"),
            *_of("values", "endless_whole_answers_are_held_within_one_bound"),
            *_of("answers"),
            *_of("streams", "a_cut_is_visible_and_never_done", "the_providers_own_error_is_not_spoken_over"),
        ),
    ),
    Row(
        "T13", "every request to every provider fails", "retries stay under a fifth of the requests and ten a second",
        _of("resilience", "total_outage_stays_within_the_retry_budget"),
    ),
    Row(
        "T14", "ten times too much load",
        "refused within 50 ms, 503 with Retry-After; at least 90 % of the useful throughput is kept",
        ("soak/test_overload.py",),
    ),
    Row(
        "T15", "malformed and ambiguous HTTP",
        "refused with 400 and closed, or forwarded as understood; nothing upstream that was not accepted",
        (
            "soak/test_smuggling.py",
            *_of("server_wire", "malformed", "other_refusals", "pipelined_beyond_the_read_ahead"),
        ),
    ),
    Row(
        "T16", "a body over the limit, by Content-Length or in chunks", "413, nothing written to disk, closed",
        (
            *_of("server_wire", "too_large_a_body_is_refused_early", "bodies_are_not_written_to_disk"),
            *_of("http", "too_large_a_body"),
        ),
    ),
    Row(
        "T17", "bad JSON, depth, huge numbers, lone surrogates, names twice",
        "400, never 500; what is accepted arrives with the same value",
        (*_of("values", "what_is_accepted_arrives_with_the_same_value"), *_of("http", "errors_have_openais_shape")),
    ),
    Row(
        "T18", "CR, LF and NUL in names of models, in ids and headers", "nothing is injected",
        (*_of("values", "nothing_is_injected"), *_of("http", "unsafe_request_ids_are_replaced")),
    ),
    Row(
        "T19", "hop-by-hop headers and those that Connection names, cookies, keys",
        "none is forwarded, either way",
        _of("http", "what_goes_up", "what_comes_down", "the_key_goes_up_and_nowhere_else"),
    ),
    Row(
        "T20", "a client tries to choose the upstream; the provider redirects",
        "only the configured origins are contacted",
        ("soak/test_elsewhere.py", *_of("http", "the_client_cannot_choose_the_upstream")),
    ),
    Row(
        "T21", "keys are planted everywhere",
        "found in no log, error, page, metric, cache, process list or traceback",
        (
            "soak/test_planted_keys.py", *_of("log", "no_body_and_no_client_key"), *_of("bodies", "no_key_is_kept"),
            *_of("instruments", "no_key_and_no_words_of_the_client"),
        ),
    ),
    Row(
        "T22", "files that hold keys, answers and costs; an address that others reach",
        "0600 in folders of 0700; loopback by default; no public address without clients", ("soak/test_closed.py",),
    ),
    Row(
        "T23", "clients without a key, with a wrong or a revoked one; pages of others that use the browser",
        "every route is closed unless opened; keys are looked up by their digests; Host and Origin are checked",
        (*_of("access"), *_of("page_login"), *_of("instruments", "a_page_that_rebinds_its_name")),
    ),
    Row(
        "T24", "hostile strings in every field that is shown", "no script runs in a real browser; CSP is set",
        (*_of("page_hostile"), *_of("page", "the_policy_forbids_programs_made_of_text")),
    ),
    Row(
        "T25", "answers are kept and shared",
        "the key has client, provider, path and the whole body; a failed or cut answer is never kept or shared",
        _of("cache"),
    ),
    Row(
        "T26", "event streams split and cut at every byte", "the same bytes out; a cut is visible as a cut",
        ("soak/test_splits.py", *_of("streams", "the_same_bytes_come_out")),
    ),
    Row(
        "T27", "the guards in calm and in trouble", "each row of their table",
        ("soak/test_guards.py", "unit/benchmarks/test_guards_virtual.py::MustTests"),
    ),
    Row(
        "T28", "Windows", "start, stop, reload, log and roots work on its runner and reactor",
        (*_of("windows"), *_of("trust", "a_root_in_windows_store")),
        "tried on this system with what Windows has: Twisted's runner for Windows, the select reactor, stand-ins for "
        "its libraries; nobody has run it on Windows or macOS",
    ),
    Row(
        "T29", "a file that is not skyproxy's is named in the configuration",
        "it is never renamed, changed or deleted",
        ("soak/test_not_ours.py", *_of("start", "another_programs_file_is_never_touched")),
    ),
    Row(
        "T30", "10,000 requests of 50 clients at the edge of budgets and limits; kills; a full disk",
        "never failing open: nobody overspends, a stop forgets nothing, a kill no more than was reserved",
        (*_of("budgets"), *_of("access", "a_store_that_cannot_be_read_lets_nobody_in")),
    ),
    Row(
        "T31", "kill -9 of workers, of whole processes and of the shared Redis, which is emptied and stopped, too",
        "limits hold in sum, nobody is refused, and what other processes have under way is not lost",
        (
            *_of("workers", "what_a_kill_takes", "a_worker_that_hangs_holds_nobody_up"),
            *_of("workers_shares", "permits_of_a_killed_worker_are_free_at_once"),
            *_of("shared_limits", "a_store_that_is_emptied", "a_store_that_stands_still", "a_store_that_is_killed"),
        ),
    ),
    Row(
        "T32", "ten minutes with everything on: two machines of two workers, one Redis; workers killed at random",
        "the books balance, no counter falls, a kill takes what its worker had under way, and no more",
        ("soak/test_everything.py",),
    ),
)  # fmt: skip
