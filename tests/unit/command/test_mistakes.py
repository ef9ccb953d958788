"""What people get wrong, and what they read: each with its file, its line and what to type, and never a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.check import look
from skyproxy.config.hints import SKYRIMNET_SLOTS
from skyproxy.config.known import SLOTS

P = "providers:\n  openrouter:\n    base_url: https://openrouter.ai/api/v1\n    api_key_env: OPENROUTER_API_KEY\n"
S = "model_slots:\n  default:\n    provider: openrouter\n    model: m\n"
LOCAL = "providers: {o: {base_url: 'http://127.0.0.1:%s'}}\nmodel_slots: {default: {provider: o, model: m}}\n"

IN_YAML: tuple[tuple[str, int, str], ...] = (
    # The text, the line of its mistake, what is told.
    (P + "model_slots:\n  combat: {provider: openrouter, model: \"x}\n", 6, "quote that opens here"),
    (P + "model_slots:\n  combat: {provider: openrouter, model: 'x}\n", 6, "quote that opens here"),
    ("providers:\n  lm:\n    base_url:http://127.0.0.1:1/v1\n", 2, "put a space after the colon"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n     model: m\n", 8, "indent them alike"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n   model: m\n", 8, "indented differently"),
    (P + "model_slots:\n\tdefault: x\n", 6, "a tab, where YAML wants spaces"),
    ('proxy:\n  log_file: "C:\\Users\\me\\x.log"\n' + P + S, 2, "use single quotes, or / in paths"),
    (P + "model_slots:\n  default: {provider: openrouter, model: @cf/x}\n", 6, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: *x\n", 8, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: !x\n", 8, "put it in quotes"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: a: b\n", 8, "put all of it in ' '"),
    (P.replace("OPENROUTER_API_KEY", "sk-or-v1-secret") + S, 4, "the name of an environment variable"),
    (P.replace("api_key_env: OPENROUTER_API_KEY", "api_key: sk-or-v1-secret") + S, 4, "the key itself into .env"),
    ("providers: {o: {base_url: '127.0.0.1:11434'}}\n", 1, "must be a URL that begins with http:// or https://"),
    (P + S + "    temperature: 0.7\n", 9, "put it under `params:`"),
    (P + S + "    max_tokens: 100\n", 9, "put it under `params:`"),
    ("providers:\n  - name: x\n    base_url: http://x/v1\n", 1, "not a list: leave out the dashes"),
    (P + "model_slots:\n  - default\n", 5, "not a list: leave out the dashes"),
    (P + "model_slots:\n  default: {provider: openrouter, model: m, fallbacks: {a: b}}\n", 6, "must be a list"),
    (P + "model_slots:\n  d: {provider: openrouter, model: m, fallbacks: ['openruter:x']}\n", 6, "mean 'openrouter'"),
    (P + "model_slots:\n  d: {provider: openrouter, model: m, fallbacks: ['ollama:x']}\n", 6, "under providers:"),
    (P + "model_slots: {default: {provider: openruter, model: m}}\n", 5, "mean 'openrouter'"),
    (P + "model_slots: {default: {provider: openrouter, modle: m}}\n", 5, "did you mean 'model'"),
    (P + "    idle_timeout: 5 minutes\n" + S, 5, "500ms, 60s, 5m, 1h"),
    (P + S + "  default: {provider: openrouter, model: m}\n", 9, "stands here twice; the first is in line 6"),
    (P + S + "providers:\n  x: {base_url: http://127.0.0.1:1/v1}\n", 9, "put the lines of both below that one"),
    ("model_list:\n  - model_name: x\n    litellm_params: {model: openai/x}\n", 1, "skyproxy init --import reads it"),
    ("proxy: {listen: '127.0.0.1'}\n" + P + S, 1, "proxy.listen"),
    # Others of the same kinds: quotes, colons, indents, tabs, backslashes, signs.
    ("providers:\n  o:\n    base_url: \"http://127.0.0.1:1/v1\n    http2: off\n", 3, "quote that opens here"),
    (P + S + "    fallbacks: [\"openrouter:x, default]\n", 9, "quote that opens here"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: 'it's'\n", 8, "one pair of quotes"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model:m\n", 8, "put a space after the colon"),
    (P + "model_slots:\n  default: {provider:openrouter, model: m}\n", 6, "put a space after the colon"),
    ("providers\n  o:\n    base_url: http://127.0.0.1:1/v1\n", 1, "there is no colon"),
    (P + "model_slots:\n  default:\n    provider = openrouter\n    model: m\n", 7, "there is no colon"),
    (P + " model_slots:\n  default:\n    provider: openrouter\n    model: m\n", 5, "indented differently"),
    (P + S + "   combat:\n    provider: openrouter\n    model: m\n", 9, "indented differently"),
    ("providers:\n  o:\n    base_url: http://x/v1\n     http2: off\n", 4, "indent them alike"),
    (P + "model_slots:\n  default:\n\t  provider: openrouter\n", 7, "a tab, where YAML wants spaces"),
    (P + "model_slots:\n  default:\n    provider:\topenrouter\n    model: m\n", 7, "a tab"),
    ('proxy:\n  log_file: "C:\\logs\\"\n' + P + S, 2, "use single quotes, or / in paths"),
    ('proxy:\n  log_file: "C:\\xampp\\x.log"\n' + P + S, 2, "use single quotes, or / in paths"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: >x\n", 8, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: |x\n", 8, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: &x\n", 8, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider:\u00a0openrouter\n    model: m\n", 7, "no-break space"),
    (P + "model_slots:\n  default:\n    provider: \u201copenrouter\u201d\n    model: m\n", 7, "curly quotes"),
    (P + S + "    params: {temperature: 0,7}\n", 9, "write 0.7, not 0,7"),
    # Keys.
    (P.replace("OPENROUTER_API_KEY", "gsk_secretsecretsecret") + S, 4, "the name of an environment variable"),
    (P.replace("OPENROUTER_API_KEY", "[A_KEY, AIzaSysecret]") + S, 4, "the name of an environment variable"),
    (P.replace("OPENROUTER_API_KEY", "OPENROUTER_API_KEY=sk-secret") + S, 4, "the name of an environment variable"),
    (P.replace("OPENROUTER_API_KEY", "${OPENROUTER_API_KEY}") + S, 4, "leave out $"),
    (P.replace("OPENROUTER_API_KEY", "A_KEY, B_KEY") + S, 4, "several go into a list"),
    (P.replace("OPENROUTER_API_KEY", "$OPENROUTER_API_KEY") + S, 4, "leave out $"),
    (P.replace("api_key_env: OPENROUTER_API_KEY", "key: sk-secret") + S, 4, "the key itself into .env"),
    (P.replace("api_key_env: OPENROUTER_API_KEY", "apiKey: sk-secret") + S, 4, "the key itself into .env"),
    (P.replace("api_key_env: OPENROUTER_API_KEY", "token: sk-secret") + S, 4, "the key itself into .env"),
    ("OPENROUTER_API_KEY: sk-secret\n" + P + S, 1, "keys go into .env"),
    # Keys of others, lists, names.
    (P + S + "    stop: ['x']\n", 9, "put it under `params:`"),
    (P + S + "    base_url: http://x/v1\n", 9, "put it at the provider"),
    (P + S + "    timeout: 60s\n", 9, "write default_timeout"),
    (P + S + "    stream: true\n", 9, "leave it out"),
    (P + "model_slots:\n  default: openrouter:m\n", 6, "write provider: and model: in two lines"),
    ("providers:\n  o: http://127.0.0.1:1/v1\n", 2, "put base_url: before it"),
    (P + "    headers: [X-Title]\n" + S, 5, "such as {name: value}"),
    (P + "    allowed_fields: {model: true}\n" + S, 5, "such as [one, two]"),
    (P + S + "    fallbacks: ['openrouter/x']\n", 9, "mean 'openrouter:'"),
    (P + S + "    fallbacks: ['meta-llama/llama-3:free']\n", 9, "names a model without its provider"),
    (P + S + "prices: {m: {input: 1, output: 2}}\n", 9, "prices.m.output: unknown key: write completion"),
    (P + S + "  combat: {provider: openrouter, model: m, fallbacks: [defualt]}\n", 9, "mean 'default'"),
    (P + S + "    fallbacks: [default]\n", 9, "leads back to its own slot"),
    ("proxy: {listen: 70000}\n" + P + S, 1, "a port from 0 to 65535"),
    ("proxy: {listen: 'tcp:99999'}\n" + P + S, 1, "a port from 0 to 65535"),
    ("proxy: {listen: 'tcp:-5:interface=127.0.0.1'}\n" + P + S, 1, "a port from 0 to 65535"),
    ("proxy: {listen: ['haproxy:tcp:abc']}\n" + P + S, 1, "a port from 0 to 65535"),
    ("proxy: {listen: 'ssl:443x:privateKey=a:certKey=b'}\n" + P + S, 1, "a port from 0 to 65535"),
    ("proxy: {listen: ':35791'}\n" + P + S, 1, "must be a port, host:port"),
    ("proxy: {listen: '*:35791'}\n" + P + S, 1, "must be a port, host:port"),
    ("litellm_settings: {}\n", 1, "skyproxy init --import reads it"),
    ("general_settings: {master_key: sk-secret}\n", 1, "skyproxy init --import reads it"),
    (P + "slots:\n  default: {provider: openrouter, model: m}\n", 5, "mean 'model_slots'"),
    (P + "    default_timeout: 60 s\n" + S, 5, "500ms, 60s, 5m, 1h"),
    (P + "    openrouter: {}\n" + S, 5, "unknown key"),
    # What is pasted: from guides, other formats, other keyboards.
    ("```yaml\n" + P + S + "```\n", 1, "the frame of an example in a guide"),
    (P + S + "```\n", 9, "the frame of an example in a guide"),
    ("// mine\n" + P + S, 1, "a comment begins with #"),
    (P + "    // mine\n" + S, 5, "a comment begins with #"),
    ("; mine\n" + P + S, 1, "a comment begins with #"),
    ("{\n  // mine\n  \"providers\": {}\n}\n", 2, "a comment begins with #"),
    ("[providers.openrouter]\nbase_url = 'https://x/v1'\n", 1, "how other formats begin a section"),
    ("[providers]\nbase_url=https://x/v1\n", 1, "how other formats begin a section"),
    ("<!DOCTYPE html>\n<html>\n", 1, "is a page of the web"),
    (P.replace("base_url: ", "base_url\uff1a") + S, 3, "one of another script"),
    (P + "model_slots:\n  default\uff1a\n    provider: openrouter\n    model: m\n", 6, "one of another script"),
    (P + "model_slots:\n\u3000\u3000default:\n    provider: openrouter\n", 6, "a space of another kind"),
    (P + "model_slots:\n\u00a0\u00a0default:\n    provider: openrouter\n", 6, "a space of another kind"),
    (P + S.replace("provider:", "provider\u00a0:"), 7, "a space of another kind"),
    (P + S.replace("provider:", "pro\u200bvider:"), 7, "a character that cannot be seen"),
    (P + S.replace("openrouter", "openrouter\u200b"), 7, "a character that cannot be seen"),
    (P + "\ufeff" + S, 5, "a character that cannot be seen"),
    (P + S.replace("model: m", "model: m\u00a0"), 8, "other characters that cannot be seen"),
    (P + S.replace("provider:", "\u201cprovider\u201d:"), 7, "curly quotes"),
    (P + S.replace("provider: openrouter", "provider: openrouter,"), 7, "ends with a comma"),
    (P + S.replace("openrouter", "'openrouter '"), 7, "begins or ends with a space"),
    (P + S.replace("model: m", "model: m\t"), 8, "there is a tab, where YAML wants spaces"),
    # Lines that are commented out, or in the wrong place.
    (P + "  default:\n    provider: openrouter\n    model: m\n", 6, "which stands under `model_slots:`"),
    ("providers:\n    base_url: https://x/v1\n", 2, "put the name and a colon in a line above"),
    (P + "model_slots:\n    provider: openrouter\n    model: m\n", 6, "put the name and a colon in a line above"),
    ("routes:\n  default: {provider: openrouter, model: m}\n" + P, 1, "unknown key: write model_slots"),
    (P + "default: {provider: openrouter, model: m}\n", 5, "put it under `model_slots:`"),
    ("openrouter:\n  base_url: https://x/v1\n", 1, "put it under `providers:`"),
    ("proxy: {host: 127.0.0.1, port: 35791}\n" + P + S, 1, "write listen_address"),
    ("proxy: {port: 35791}\n" + P + S, 1, "write listen_port"),
    ("proxy: {cors: '*'}\n" + P + S, 1, "write cors_origins"),
    ("providers:\n  o: {api_base: 'https://x/v1'}\n" + S, 2, "write base_url"),
    (P + "    timeout: 60\n" + S, 5, "write default_timeout"),
    (P + "  " + S.replace("\n", "\n  ").rstrip(" "), 5, "is a section: begin its line at the left edge"),
    (P + "<<<<<<< HEAD\n" + S + "=======\n" + S + ">>>>>>> x\n", 5, "where Git could not merge"),
    (P + S + "    fallbacks:\n      * openrouter:x\n", 10, "begins with - and a space"),
    ("> " + P.replace("\n", "\n> "), 1, "takes quotes"),
    (P + S + "    fallbacks:\n      \u2022 openrouter:x\n", 10, "a bullet"),
    (P + S + "    fallbacks:\n      -openrouter:x\n", 10, "behind which a space is missing"),
    # Keys that belong into another section: the nearest name there is another thing.
    ("fallback_to_default: true\n" + P + S, 1, "put it under `proxy:`"),
    ("listen: 35791\n" + P + S, 1, "put it under `proxy:`"),
    ("log_file: x.log\n" + P + S, 1, "put it under `proxy:`"),
    ("max_retries: 3\n" + P + S, 1, "put it under `defaults:`, or at a provider"),
    ("proxy: {max_concurrent: 5}\n" + P + S, 1, "put it under `defaults:`, or at a provider"),
    ("proxy: {default_timeout: 60s}\n" + P + S, 1, "put it under `defaults:`, or at a provider"),
    ("proxy: {timeout: 60s}\n" + P + S, 1, "write default_timeout under `defaults:`"),
    ("proxy: {hedge_after: 2s}\n" + P + S, 1, "put it at a slot, which stands under `model_slots:`"),
    ("proxy: {budget: 2/day}\n" + P + S, 1, "write purse"),
    ("proxy: {prices: {}}\n" + P + S, 1, "begin its line at the left edge"),
    ("proxy: {clients: {}}\n" + P + S, 1, "begin its line at the left edge"),
    (P + "    fallbacks: [default]\n" + S, 5, "put it at a slot, which stands under `model_slots:`"),
    (P + "    max_tokens: 100\n" + S, 5, "put it under `params:` of a slot"),
    (P + "    consecutive: 3\n" + S, 5, "put it under `breaker:`"),
    (P + "    models: [m]\n" + S, 5, "each model takes a slot of its own"),
    (P + "    log_level: debug\n" + S, 5, "put it under `proxy:`"),
    (P + S + "    max_concurrent: 5\n", 9, "put it under `defaults:`, or at a provider"),
    (P + S + "    api_key: sk-secret\n", 9, "a key goes into .env, as NAME=key"),
    ("api_key: sk-secret\n" + P + S, 1, "a key goes into .env, as NAME=key"),
    (P + S + "    timeout_ms: 5\n", 9, "write default_timeout"),
    ("defaults: {timeout: 60s}\n" + P + S, 1, "write default_timeout"),
    ("defaults: {fallbacks: [a]}\n" + P + S, 1, "put it at a slot"),
    (P + "model_slots:\n  default: {provider:openrouter, model: m}\n", 6, "put a space after the colon"),
    # Signs, items and mappings where a text belongs.
    ("proxy: {cors_origins: *}\n" + P + S, 1, "put all of it in ' '"),
    (P + S.replace("model: m", "model: *"), 8, "put all of it in ' '"),
    (P + S + "    fallbacks: [openrouter:a,, openrouter:b]\n", 9, "is parted by commas"),
    (P + S.replace("model: m", "model: ,m"), 8, "a value is missing here"),
    (P + S + "profiles: {cheap: {default: 'openrouter:m\u200b'}}\n", 9, "other characters that cannot be seen"),
    (P + "% mine\n" + S, 5, "put all of it in ' '"),
    (P.replace("openrouter:", f"sk-or-v1-{'secret01' * 8}:") + S, 7, "names no provider; there are ***"),
    (P + S.replace("model: m", "model: - m"), 8, "a list begins in a line of its own"),
    (P + "  b:\n    <<: *openruter\n" + S, 6, "none of that name stands above"),
    (P + S.replace("model: m", "model: !secret x"), 8, "takes for a tag"),
    (P + S + "\x1a", 9, "which cannot be seen: delete it"),
    (P + S + "    fallbacks: [openrouter: m]\n", 9, "without a space behind the colon"),
    (P + S + "    fallbacks:\n      - provider: openrouter\n        model: m\n", 10, "write provider:model"),
    (P + S.replace("provider: openrouter", "provider: {order: [a]}"), 7, "not a mapping of keys to values"),
    ("proxy: {purse: off}\n" + P + S, 1, "such as 5/day; without it there is no limit"),
    ("proxy: {telemetry: 'http://x'}\n" + P + S, 1, "with keys such as endpoint"),
    (P + "    breaker: never\n" + S, 5, "such as {consecutive: 5}"),
    (P + "    max_concurrent: 08\n" + S, 5, "must be a whole number, without a 0 at its beginning"),
    (P + S + "    params: {temperature: 0,08}\n", 9, "write 0.7, not 0,7"),
    # Numbers that are too large for what counts by them.
    (P + f"    max_concurrent: {'9' * 23}\n" + S, 5, "must be a whole number within 64 bits"),
    (f"proxy: {{max_body: {'9' * 12}GB}}\n" + P + S, 1, "must be a size of 1,000,000 GB at most"),
    ("proxy: {purse: {amount: 1.0e+300}}\n" + P + S, 1, "must be 1000000000 or less"),
    (P + S + "prices: {m: {prompt: 1.0e+300, completion: 1}}\n", 9, "must be 1000000000 or less"),
    (P + S + "rates: {EUR/USD: 1.0e+300}\n", 9, "of 1e9 at most"),
    # Kinds of values.
    (P + "    max_concurrent: '10'\n" + S, 5, "must be a whole number, without quotes"),
    ("proxy: {fallback_to_default: 'true'}\n" + P + S, 1, "must be true or false, without quotes"),
    (P + S.replace("model: m", "model: [m, n]"), 8, "must be one text, not a list"),
    (P + S.replace("model: m", "model: [m] n"), 8, "there is more after the closing bracket"),
    (P.replace("https://openrouter.ai/api/v1", "${BASE_URL}") + S, 3, "no variable is filled in here"),
)  # fmt: skip

DOUBTED: tuple[tuple[str, int, str], ...] = (
    (P + "    headers: {X-Team: $TEAM}\n" + S, 5, "in the form ${NAME}"),
    (P + "    headers: {X-Team: '%TEAM%'}\n" + S, 5, "in the form ${NAME}"),
    (P + S + "    fallbacks: ['openrouter: x']\n", 9, "has a space behind its colon"),
    (P + S + "profiles:\n  cheap: {default: 'openrouter: x'}\n", 10, "has a space behind its colon"),
    # Numbers, and fields of a body.
    (P + "    default_timeout: 060\n" + S, 5, "to the base of 8"),
    (P + "    max_concurrent: 010\n" + S, 5, "to the base of 8"),
    (P + "    default_timeout: 1:30\n" + S, 5, "to the base of 60"),
    (P + "    default_timeout: 1:30.5\n" + S, 5, "to the base of 60"),
    (P + S + "    params: {seed: 0123}\n", 9, "to the base of 8"),
    (P + S + "    params: {temperature: '0.7'}\n", 9, "where providers want a number"),
    (P + S + "    params:\n      temperature: 0,7\n", 10, "where providers want a number"),
    (P + S + "    force: {max_tokens: '400'}\n", 9, "where providers want a number"),
    (P + S + "    params: {temperature:0.7}\n", 9, "put a space after the colon"),
    (P + S + "    force: {stream: true}\n", 9, "each client says whether it wants a stream"),
    (P + S + "    force: {model: other}\n", 9, "write the model beside `provider:`"),
    # What YAML takes, though it is hardly what was meant: these are warnings.
    (P + 'model_slots:\n  default:\n    provider: openrouter\n    model: m"\n', 8, "ends with a quote"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: llama #1\n", 8, "read as a comment"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: <MODEL>\n", 8, "still to be filled in"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: m\n      x\n", 8, "line 9 is read as a part"),
    (P + S + "    fallbacks:\n    - openrouter:a\n     - openrouter:b\n", 10, "line 11 is read as a part"),
    (P + S + "    fallbacks:\n      \u2013 openrouter:x\n", 10, "a dash of typography"),
    ('proxy:\n  log_file: "C:\\new\\temp.log"\n' + P + S, 2, "use single quotes, or / in paths"),
    (P + S + "    fallbacks: openrouter:x, openrouter:y\n", 9, "several go into a list"),
    (P + S.replace("model: m", "model: m, n"), 8, "others go into fallbacks"),
    (P + S.replace("model: m", "model: m,"), 8, "ends with a comma or semicolon"),
    (P + S.replace("model: m", "model: ${MODEL}"), 8, "no variable is filled in here"),
    (P + S.replace("model: m", "model: '{{ model }}'"), 8, "no variable is filled in here"),
    (P + S.replace("model: m", "model: 'm '"), 8, "begins or ends with a space"),
    (P + S + "  'combat ': {provider: openrouter, model: m}\n", 9, "begins or ends with a space"),
    ("proxy:\n  costs_file: ~/costs.sqlite\n" + P + S, 2, "write the whole path"),
    ("proxy:\n  cache:\n    path: '%LOCALAPPDATA%\\c.sqlite'\n" + P + S, 3, "write the whole path"),
    ("access:\n  store: ${HOME}/access.sqlite\n" + P + S, 2, "write the whole path"),
    ("proxy:\n  bodies: {file: $HOME/b.sqlite}\n" + P + S, 2, "write the whole path"),
)

IN_ENV: tuple[tuple[str, str], ...] = (
    ("OPENROUTER_API_KEY: sk-secret\n", "write NAME=value"),
    ("set OPENROUTER_API_KEY=sk-secret\n", "leave out set"),
    ('$env:OPENROUTER_API_KEY="sk-secret"\n', "leave out $env:"),
    ("OPENROUTER_KEY=sk-secret\n", "has OPENROUTER_KEY: is that it?"),
    ("OPENROUTER_API_KEY=sk-sec ret\n", "without spaces"),
    ("OPENROUTER_API_KEY=Bearer sk-secret\n", "leave out the word Bearer"),
    ("OPENROUTER_API_KEY=“sk-secret”\n", "curly quotes"),
    ("OPENROUTER_API_KEY=your-key-here\n", "still to be put there"),
    ("OPENROUTER_API_KEY=Bearer:sk-secret\n", "leave out the word Bearer"),
    ("OPENROUTER_API_KEY=Authorization: Bearer sk-secret\n", "leave out Authorization: and the word Bearer"),
    ("OPENROUTER_API_KEY={sk-secret}\n", "still to be put there"),
    ("OPENROUTER_API_KEY=sk-or-v1-secretsk-or-v1-secret\n", "stands there twice"),
    (f"OPENROUTER_API_KEY=gsk_secret{'a1' * 20}\n", "has the form of a key of Groq's: put the key of provider"),
    (f"OPENROUTER_API_KEY=sky-secret{'a1' * 20}\n", "has the form of a key of skyproxy's own"),
    # Others of the same kinds.
    ("SET OPENROUTER_API_KEY=sk-secret\n", "leave out set"),
    ("setx OPENROUTER_API_KEY sk-secret\n", "leave out set"),
    ('$Env:OPENROUTER_API_KEY = "sk-secret"\n', "leave out $env:"),
    ("$OPENROUTER_API_KEY=sk-secret\n", "write NAME=value"),
    ("sk-or-v1-secret\n", "write NAME=value"),
    ("OPENROUTER_API_KEY sk-secret\n", "write NAME=value"),
    ('OPENROUTER_API_KEY="sk-secret\n', "the quote that opens here is not closed"),
    ("OPEN_ROUTER_API_KEY=sk-secret\n", "has OPEN_ROUTER_API_KEY: is that it?"),
    ("OPENROUTER_API_KEYS=sk-secret\n", "has OPENROUTER_API_KEYS: is that it?"),
    ("API_KEY=sk-secret\n", "has API_KEY: is that it?"),
    ("# OPENROUTER_API_KEY=sk-secret\n", "has it behind a #"),
    ("OPENROUTER_API_KEY=\n", "has it, but without a value"),
    ('OPENROUTER_API_KEY=""\n', "has it, but without a value"),
    ('OPENROUTER_API_KEY="bearer sk-secret"\n', "leave out the word Bearer"),
    ("OPENROUTER_API_KEY=\u2018sk-secret\u2019\n", "curly quotes"),
    ("OPENROUTER_API_KEY=sk-secret,\n", "leave out the comma"),
    ("OPENROUTER_API_KEY=sk-secret;\n", "leave out the comma or semicolon"),
    ("OPENROUTER_API_KEY=<sk-secret>\n", "still to be put there"),
    ("OPENROUTER_API_KEY=sk-or-v1-...\n", "still to be put there"),
    ("OPENROUTER_API_KEY=sk-or-v1-your-key\n", "still to be put there"),
    ("OPENROUTER_API_KEY=TODO\n", "still to be put there"),
    # Of other shells and programs.
    ("setenv OPENROUTER_API_KEY sk-secret\n", "Line 1 of <ENV> has that name in another form"),
    ("\n@set OPENROUTER_API_KEY=sk-secret\n", "Line 2 of <ENV> has that name in another form"),
    ('[Environment]::SetEnvironmentVariable("OPENROUTER_API_KEY", "sk-secret")\n', "in another form"),
    ("Environment=OPENROUTER_API_KEY=sk-secret\n", "Line 1 of <ENV> has that name in another form"),
    ('"OPENROUTER_API_KEY"="sk-secret"\n', "Line 1 of <ENV> has that name in another form"),
    ("OPENROUTER-API-KEY=sk-secret\n", "Line 1 of <ENV> has that name in another form"),
    ("\u200bOPENROUTER_API_KEY=sk-secret\n", "Line 1 of <ENV> has that name in another form"),
    ("OPENROUTER_API_KEY\uff1dsk-secret\n", "Line 1 of <ENV> has that name in another form"),
    ('{"OPENROUTER_API_KEY": "sk-secret"}\n', "Line 1 of <ENV> has that name in another form"),
    ("OPENROUTER_API_KEY=sk-secr...3e4f\n", "is shortened"),
    ("OPENROUTER_API_KEY=****************\n", "is shortened"),
    ("OPENROUTER_API_KEY=https://openrouter.ai/keys\n", "put the key alone there"),
    ("OPENROUTER_API_KEY=OPENROUTER_API_KEY=sk-secret\n", "put the key alone there"),
    ("OPENROUTER_API_KEY=sk-secret-0123456789,sk-secret-9876543210\n", "holds several keys"),
)

MISPLACED: tuple[tuple[tuple[str, ...], str], ...] = (
    # The files that are there, and what is told of one of them.
    (("skyproxy.yaml.txt",), "skyproxy.yaml.txt is not read: rename it to"),
    (("skyproxy.yml",), "skyproxy.yml is not read: rename it to"),
    (("Skyproxy.yaml",), "Skyproxy.yaml is not read: rename it to"),
    (("providers.yaml", "routes.yaml"), "providers.yaml is not read: rename it to"),
    (("config/providers.yml", "config/routes.yaml"), "providers.yml is not read: rename it to"),
    (("config/skyproxy.yaml",), "skyproxy.yaml is not read: rename it to"),
    (("config/providers.yaml", "config/routes.yml"), "but routes.yml: rename it to routes.yaml"),
    (("skyproxy.yaml", ".env.txt"), ".env.txt is not read: rename it to"),
    (("skyproxy.yaml", "env"), "env is not read: rename it to"),
    (("skyproxy.yaml", "env.txt"), "env.txt is not read: rename it to"),
)


class MistakeTests(SynchronousTestCase):
    """skyproxy check"""

    def told(
        self, text: str, env: str | None = None, environ: Mapping[str, str] | None = None
    ) -> tuple[list[str], list[str]]:
        """Errors and warnings."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        (folder / "skyproxy.yaml").write_text(text, "utf-8")
        if env is not None:
            (folder / ".env").write_text(env, "utf-8")
        found = look(None, environ=environ or {}, cwd=folder, home=None)
        for each in (*found.errors, *found.warnings):
            self.assertNotIn("secret", each)
        return list(found.errors), list(found.warnings)

    def test_in_the_configuration(self) -> None:
        for text, line, words in IN_YAML:
            errors, _ = self.told(text)
            self.assertTrue(any(f"skyproxy.yaml:{line}: " in each and words in each for each in errors), (text, errors))

    def test_what_yaml_takes_but_nobody_meant(self) -> None:
        for text, line, words in DOUBTED:
            errors, warnings = self.told(text, "OPENROUTER_API_KEY=k\n")
            told = [*errors, *warnings]
            self.assertTrue(any(f"skyproxy.yaml:{line}: " in each and words in each for each in told), (text, told))

    def test_free_texts_are_not_doubted(self) -> None:
        odd = '"\u3000x", "${x}", a;, " b "'
        params = f'    params: {{stop: [<|end|>, "a\\nb", x\', {odd}], " a ": 1}}\n'
        text = P + S + params + "    force:\n      system: goes\n        on\n"
        errors, warnings = self.told(text.replace("model: m\n", "model: m  # mine\n"), "OPENROUTER_API_KEY=k\n")
        self.assertEqual((errors, [each for each in warnings if "SkyrimNet" not in each]), ([], []))
        for name in ("a~b", "~", "100%", "a$b.log", "50% off/x%", "x~/y"):
            _, warnings = self.told(f"proxy: {{costs_file: 'x{name}'}}\n" + P + S, "OPENROUTER_API_KEY=k\n")
            self.assertEqual([each for each in warnings if "SkyrimNet" not in each], [], name)

    def test_keys_of_programs_that_want_none_are_not_doubted(self) -> None:
        for key in ("none", "NO_KEY", "not-needed", "a,b", "sk-a_b=", "LM_STUDIO", "a" * 64):
            _, warnings = self.told("proxy: {fallback_to_default: true}\n" + P + S, f"OPENROUTER_API_KEY={key}\n")
            self.assertEqual(warnings, [], key)

    def test_files_of_other_names_and_places(self) -> None:
        contents = {
            "skyproxy": P + S,
            "providers": P,
            "routes": S,
            "": "OPENROUTER_API_KEY=k\n",
            "env": "OPENROUTER_API_KEY=k\n",
        }
        for names, words in MISPLACED:
            folder = Path(mkdtemp())
            self.addCleanup(rmtree, folder)
            for name in names:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(contents[Path(name).name.lower().partition(".")[0]], "utf-8")
            found = look(None, environ={}, cwd=folder, home=None)
            self.assertIn(words, "\n".join((*found.errors, *found.warnings)), str(names))

    def test_a_file_of_another_name_where_one_was_named(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        (folder / "mine.yaml.txt").write_text(P + S, "utf-8")
        found = look(folder / "mine.yaml", environ={}, cwd=folder, home=None)
        self.assertIn("no such file or folder, but mine.yaml.txt: rename it to mine.yaml", found.errors[0])

    def test_the_place_of_the_key_is_named(self) -> None:
        errors, _ = self.told(P + S, "X=y\n")
        self.assertRegex(errors[0], r"set OPENROUTER_API_KEY in the environment or in /\S+/\.env\.")

    def test_in_the_keys(self) -> None:
        for env, words in IN_ENV:
            errors, warnings = self.told(P + S, env)
            told = "\n".join((*errors, *warnings))
            self.assertIn(words, re.sub(r"\S+\.env", "<ENV>", told))
            line = "2" if env.startswith("\n") else "1"
            self.assertTrue(f".env:{line}" in told or f"Line {line} of" in told, told)

    def test_an_empty_variable_hides_the_key(self) -> None:
        errors, _ = self.told(P + S, "OPENROUTER_API_KEY=x\n", {"OPENROUTER_API_KEY": ""})
        self.assertIn("empty in the environment, which hides line 1 of", errors[0])

    def test_another_key_in_the_environment(self) -> None:
        _, warnings = self.told(P + S, "OPENROUTER_API_KEY=secret-a\n", {"OPENROUTER_API_KEY": "secret-b"})
        self.assertIn(".env:1: OPENROUTER_API_KEY has another value in the environment", "\n".join(warnings))
        _, warnings = self.told(P + S, "OPENROUTER_API_KEY=secret-a\n", {"OPENROUTER_API_KEY": "secret-a"})
        self.assertNotIn("another", "\n".join(warnings))

    def test_limits_in_the_environment_that_nobody_reads(self) -> None:
        for name in ("SKYPROXY_MAX_CONCURRENT", "SKYPROXY_DEFAULT_MAX_CONCURENT", "skyproxy_max_concurrent"):
            _, warnings = self.told(P + S, "OPENROUTER_API_KEY=k\n", {name: "5"})
            wanted = f"environment: {name}: is not read (did you mean 'SKYPROXY_DEFAULT_MAX_CONCURRENT'?)"
            self.assertIn(wanted, warnings)
        for name in ("SKYPROXY_DEFAULT_MAX_PENDING", "skyproxy_default_max_pending", "SKYPROXY_MAXIMUM", "MAX_PENDING"):
            _, warnings = self.told(P + S, "OPENROUTER_API_KEY=k\n", {name: "5"})
            self.assertNotIn("is not read", "\n".join(warnings), name)

    def test_addresses_that_are_no_apis(self) -> None:
        for typed, meant in (
            ("11434", "11434/v1"), ("11434/api/chat", "11434/v1"), ("1234/v1/completions", "1234/v1"),
            ("8080/v1/models", "8080/v1"), ("8080/completion", "8080/v1"), ("1234/api/v0", "1234/v1"),
            ("11434/v1/chat", "11434/v1"), ("5001/api/v1/generate", "5001/v1"), ("11434/api/generate", "11434/v1"),
        ):  # fmt: skip
            _, warnings = self.told(LOCAL % typed)
            self.assertIn(f"did you mean http://127.0.0.1:{meant}?", "\n".join(warnings))
        for typed, meant in (
            ("https://openrouter.ai", "https://openrouter.ai/api/v1"), ("https://api.openai.com", "https://api.openai.com/v1"),
            ("https://openrouter.ai/v1", "https://openrouter.ai/api/v1"),
            ("https://localhost:11434/v1", "http://localhost:11434/v1"),
            ("https://generativelanguage.googleapis.com/v1beta", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ):  # fmt: skip
            _, warnings = self.told(f"providers: {{o: {{base_url: '{typed}'}}}}\n")
            self.assertIn(f"did you mean {meant}?", "\n".join(warnings))
        _, warnings = self.told(LOCAL % "35791/v1")
        self.assertIn("where skyproxy itself listens", "\n".join(warnings))
        for right in ("11434/v1/", "8080/v1/chat/completions", "5001/proxied/v1"):
            _, warnings = self.told("proxy: {fallback_to_default: true}\n" + LOCAL % right)
            self.assertEqual(warnings, [], right)
        for right in (
            "https://api.openai.com/v1/",
            "https://openrouter.ai/api/v1/chat/completions",
            "https://x.example/api",
        ):
            _, warnings = self.told(f"providers: {{o: {{base_url: '{right}'}}}}\n")
            self.assertEqual(warnings, [], right)

    def test_a_name_that_is_empty_has_no_quotes(self) -> None:
        errors, _ = self.told(P + "model_slots:\n  '': {provider: openrouter, model: m}\n")
        self.assertEqual([each.partition(": ")[2] for each in errors], ["model_slots.: must not be empty"])

    def test_files_for_the_log(self) -> None:
        for name, words in (
            ("skyproxy.yaml", "it is no log of skyproxy's"),
            (".", "is a folder: name a file in it"),
            ("skyproxy.yaml/x.log", "is no folder: name another place"),
        ):
            errors, _ = self.told(f"proxy: {{log_file: {name}}}\n" + P + S, "OPENROUTER_API_KEY=k\n")
            (error,) = errors
            self.assertTrue(error.startswith("proxy.log_file: ") and words in error, error)
        for name in ("new.log", "a/b/new.log"):
            errors, _ = self.told(f"proxy: {{log_file: {name}}}\n" + P + S, "OPENROUTER_API_KEY=k\n")
            self.assertEqual(errors, [], "a start makes the folders")

    def test_times_in_milliseconds(self) -> None:
        _, warnings = self.told("defaults: {default_timeout: 60000}\n" + LOCAL % "1/v1")
        self.assertIn("numbers are seconds; did you mean 60s?", "\n".join(warnings))

    def test_what_works_is_not_complained_of(self) -> None:
        for text, env in (
            (P + S, "export OPENROUTER_API_KEY=k\n"),
            ("proxy: {listen: 35791}\n" + P + S, "OPENROUTER_API_KEY='k'\n"),
            ("proxy: {listen: 'localhost:35791'}\n" + P + S, "OPENROUTER_API_KEY = k\n"),
            (LOCAL.replace("providers", "'providers'").replace("model: m", "model: llama3.1:8b") % "1/v1", None),
            ((P + S).replace("\n", "\r\n"), "OPENROUTER_API_KEY=k\r\n"),
            ("\ufeff" + P + S, "\ufeffOPENROUTER_API_KEY=k\n"),
        ):
            errors, warnings = self.told(text, env)
            self.assertEqual((errors, [each for each in warnings if "SkyrimNet" not in each]), ([], []), text)

    def test_skyrimnets_slots(self) -> None:
        _, warnings = self.told(LOCAL % "11434/v1")
        self.assertIn("SkyrimNet also asks for combat", warnings[0])
        _, warnings = self.told("proxy: {fallback_to_default: true}\n" + LOCAL % "11434/v1")
        self.assertEqual(warnings, [])
        for typed, meant in (("Default", "default"), ("DEFAULT", "default"), ("diarygeneration", "DiaryGeneration")):
            _, warnings = self.told((LOCAL % "11434/v1").replace("default", typed))
            self.assertIn(f"Slot {typed!r} is not the slot {meant!r}", "\n".join(warnings))
        self.assertEqual(SKYRIMNET_SLOTS, tuple(SLOTS))
        _, warnings = self.told((LOCAL % "11434/v1").replace("default", "mine"))
        self.assertEqual(warnings, [], "a configuration that is for others")
