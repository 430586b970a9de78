"""Runs of the action on sources, manifests and Hubs that say hostile things."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.action import (
    VED_PAGES,
    Action,
    actions_of,
    annotations,
    assert_harmless,
    assert_harmless_card,
    code_of,
    explanations,
    only_commands,
    rows_of,
    summary_rows,
    text_blocks,
)
from tests.support.hostile import Answer, Request, Watch, impostor, serving
from tests.support.publishing import TOKEN, build_locally, client, markdown, pair, publish
from tests.support.workflow_commands import commands
from ved.errors import ErrorCode
from ved.localhub import LocalHub

ROW: dict[str, Any] = {
    **{"repo": "owner/x", "encoder": "a/b", "decoder": "c/d", "action": "built", "reason": ""},
    **{"warnings": [], "commit": "0" * 40, "url": None, "fingerprint": "", "bytes": 1},
    "seconds": 1.5,
}


# Inputs


def test_manifest_name_is_only_text(action: Action) -> None:
    name = "::add-mask::a,b=c%0A|<b>.yaml"
    run = action.run(None, manifest=name)
    mask, error = commands(run.log)
    assert (mask.message, error.properties) == (TOKEN, {})
    assert repr(name) in error.message
    assert repr(name) in text_blocks(run.summary)[2]


@pytest.mark.parametrize(
    "endpoint", ["https://a) ![b](https://x.example", "https://a b|\n<img src=x>"]
)
def test_endpoint_does_not_end_a_link(endpoint: str, action: Action) -> None:
    (action.workspace / "results").mkdir(parents=True)
    (action.workspace / "results" / "1.json").write_text(json.dumps([ROW]))
    run = action.run(None, mode="report", results="results", endpoint=endpoint)
    assert (run.status, run.outputs["built"]) == (0, "1")
    only_commands(run, "add-mask")
    assert not {"image", "html_inline"} & {token.type for token in markdown(run.summary)}
    _, others = explanations(run.summary)
    assert len(others) == 1


# Sources


def source_of(sources: dict[str, Path], name: str, folder: Path) -> Path:
    return shutil.copytree(sources[name], folder / name)


def edit(path: Path, **changes: object) -> None:
    path.write_text(
        json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes})
    )


@pytest.mark.parametrize("as_mapping", [True, False])
def test_chat_template_name_is_no_path(
    as_mapping: bool, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    decoder = source_of(sources, "gpt2", tmp_path / "sources")
    names = [str(tmp_path / "outside"), "../../../outside", "default", "plain"]
    listed = [{"name": name, "template": "{{ 7 * 7 }}"} for name in names]
    given = dict.fromkeys(names, "{{ 7 * 7 }}") if as_mapping else listed
    edit(decoder / "tokenizer_config.json", chat_template=given)

    built = build_locally(hub, pair("owner/x", decoder=str(decoder)), tmp_path / "built")

    assert sorted(tmp_path.rglob("*.jinja")) == []
    assert [path for path in built.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("key", "file"),
    [("vocab_file", "tokenizer_config.json"), ("init_inputs", "special_tokens_map.json")],
)
def test_tokenizer_setting_publishes_no_file_of_the_machine(
    file: str, key: str, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    decoder = source_of(sources, "bert", tmp_path / "sources")
    (decoder / "tokenizer.json").unlink(missing_ok=True)
    secret = tmp_path / "secret"
    secret.write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\nhunter2\n")
    settings_file = json.loads((decoder / "tokenizer_config.json").read_text())
    settings_file.pop("added_tokens_decoder", None)  # with it, the other file is not read
    (decoder / "tokenizer_config.json").write_text(json.dumps(settings_file))
    edit(decoder / file, **{key: [str(secret)] if key == "init_inputs" else str(secret)})

    built = build_locally(hub, pair("owner/x", decoder=str(decoder)), tmp_path / "built")

    assert [path.name for path in built.iterdir() if b"hunter2" in path.read_bytes()] == []


def test_names_of_sources_and_tensors_are_only_text(
    action: Action, hub: LocalHub, tmp_path: Path
) -> None:
    good, bad = "./::add-mask::a %0A|`<b>`", "./##[error]::error file=x::![b](c)"
    checkpoints.vit(action.workspace / good, without=("pooler.",))
    (action.workspace / bad).mkdir()
    names = {"layer.1.output": "layer.1.output\n::error::of a tensor%0A|<b>`"}
    publish(hub, "team/vit-of-hostile-names", checkpoints.vit(tmp_path / "vit", rename=names))
    keys = {"description": "\n::error::of a text\n", "tags": ["::error::of a tag", "%0A##[error]x"]}

    run = action.run(
        [
            pair("owner/of-hostile-texts", encoder=good, **keys),
            pair("owner/of-a-hostile-name", encoder=bad),
            pair("owner/of-hostile-tensors", encoder="team/vit-of-hostile-names"),
        ]
    )

    built, named, of_tensors = rows_of(run)
    assert actions_of(run) == ["built", "refused", "refused"]
    assert bad in named["reason"]
    assert "::error::of a tensor" in of_tensors["reason"]
    mask, *others = only_commands(run, "add-mask", "warning", "error")
    assert (mask.name, mask.message) == ("add-mask", TOKEN)
    assert {command.properties["title"] for command in others} == {
        row["repo"] for row in (built, named, of_tensors)
    }
    assert annotations(run, "warning")[0].message.startswith(built["warnings"][0])
    errors = {each.properties["title"]: each.message for each in annotations(run)}
    assert errors.keys() == {named["repo"], of_tensors["repo"]}
    assert bad in errors[named["repo"]]
    assert errors[of_tensors["repo"]].startswith(of_tensors["reason"])
    assert {row[3] for row in summary_rows(run)} == {
        f"{name} + team/gpt2" for name in (good, bad, "team/vit-of-hostile-names")
    }
    _, others_linked = explanations(run.summary)
    assert others_linked == [built["url"]]
    assert "html_inline" not in {token.type for token in markdown(run.summary)}


EVIL = (
    "\r\n::error::a\n##[error]b%0A::add-mask::c | <img src=x> [d](https://x.example) "
    "![e](https://x.example) ```mermaid\u202e\x1b[2K`f` {{ 7 * 7 }} ../../x"
)


def publish_hostile_sources(hub: LocalHub, folder: Path) -> None:
    """Publish sources with a hostile text in every place where a source can have one."""
    encoder = checkpoints.vit(folder / "vit", without=("pooler.",))
    decoder = checkpoints.gpt2(folder / "gpt2")
    edit(encoder / "config.json", note=EVIL, id2label={"0": EVIL}, architectures=[EVIL])
    edit(encoder / "preprocessor_config.json", note=EVIL)
    edit(decoder / "config.json", note=EVIL, task_specific_params={EVIL: EVIL})
    edit(decoder / "tokenizer_config.json", note=EVIL, pad_token=EVIL, tokenizer_class=None)
    head = f"license: other\ntags:\n- {json.dumps(EVIL)}"
    for directory in (encoder, decoder):
        (directory / "README.md").write_text(f"---\n{head}\n---\n{EVIL}")
        (directory / "##[error]%0A `x` [d](e).txt").write_text(EVIL)
    publish(hub, "team/vit-hostile", encoder)
    publish(hub, "team/gpt2-hostile", decoder)
    renamed = checkpoints.vit(
        folder / "renamed", rename={"layer.1.output": f"layer.1.output{EVIL}"}
    )
    publish(hub, "team/vit-renamed", renamed)
    family = checkpoints.vit(folder / "family")
    edit(family / "config.json", model_type=EVIL)
    publish(hub, "team/vit-of-no-family", family)


def written_elsewhere(watch: Watch, folder: Path) -> list[str]:
    """Return the files that a run wrote outside of its own folders."""
    own = [folder / name for name in ("workspace", "home", "tmp")]
    return [
        str(path)
        for path in watch.written
        if path != Path("/dev/null") and not any(path.is_relative_to(each) for each in own)
    ]


@pytest.mark.slow
def test_run_of_hostile_sources_does_only_its_work(
    action: Action, hub: LocalHub, tmp_path: Path
) -> None:
    publish_hostile_sources(hub, tmp_path)
    texts = {"description": f"Said: {json.dumps(EVIL)}", "tags": ["::error::of a tag"]}
    watch = Watch(tmp_path / "watch")

    run = action.run_as_process(
        [
            pair(
                "owner/hostile-1", encoder="team/vit-hostile", decoder="team/gpt2-hostile", **texts
            ),
            pair("owner/hostile-2", encoder="team/vit-renamed"),
            pair("owner/hostile-3", encoder="team/vit-of-no-family"),
        ],
        command=watch.command,
    )

    assert actions_of(run) == ["built", "refused", "refused"], run.log
    found = only_commands(run, "add-mask", "warning", "error")
    assert [command.message for command in found if command.name == "add-mask"] == [TOKEN]
    assert {row["repo"] for row in rows_of(run)} >= {
        command.properties["title"] for command in found if command.name != "add-mask"
    }
    assert_harmless(
        run.summary, f"{hub.endpoint}/owner/hostile-1/commit/", VED_PAGES, fences=("mermaid",)
    )
    assert written_elsewhere(watch, action.folder) == []
    assert watch.looked_up <= {"127.0.0.1"}
    assert len(watch.connected) <= 2  # the Hub, and the server of its large files
    assert hub.endpoint in watch.connected
    path = client(hub).hf_hub_download("owner/hostile-1", "README.md", cache_dir=tmp_path / "card")
    card = Path(path).read_bytes().decode().partition("\n---\n")[2].partition("Said:")[2]
    text = card.partition("\n")[2]
    assert_harmless_card(text, f"{hub.endpoint}/team/")


# Answers of a Hub


@pytest.mark.parametrize("header", ["etag", "x-linked-etag", "x-repo-commit"])
def test_header_names_no_file_outside_the_cache(
    header: str, action: Action, hub: LocalHub, tmp_path: Path
) -> None:
    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        if "/resolve/" in request.path:
            answer.headers[header] = f'"{tmp_path}/{request.path.rpartition("/")[2]}-outside"'
        return answer

    with impostor(hub.endpoint, change) as server:
        run = action.run([pair("owner/x")], token="", endpoint=server.endpoint, mode="plan")
    # A file has two names in the headers, of which one is enough.
    assert run.status == (0 if header == "x-linked-etag" else 1)
    assert sorted(tmp_path.glob("*-outside*")) == []


@pytest.mark.parametrize(
    "hostile",
    [
        "\r\n::add-mask::a\n##[error]b %0A",
        "| <img src=x> [c](https://example.org) ![d](e)",
        "\ud800",  # UTF-8 cannot have it
    ],
)
@pytest.mark.parametrize("token", [TOKEN, ""])
def test_error_text_of_a_server_is_only_text(hostile: str, token: str, action: Action) -> None:
    def refuse(_: Request) -> Answer:
        return Answer.of_json({"error": f"no {hostile} yes"}, 403)

    # With a token the log-in fails, too, which is a warning.
    with serving(refuse) as server:
        run = action.run([pair("owner/x")], token=token, endpoint=server.endpoint, mode="plan")
    assert run.status == 1
    shown = summary_rows(run)[0][2]
    errors = annotations(run)
    assert {command.name for command in commands(run.log)} - {"add-mask", "warning"} == {"error"}
    assert {code_of(error) for error in errors} <= {
        *(ErrorCode.TOKEN_MAY_NOT_WRITE, ErrorCode.GATED_SOURCE)
    }
    for text in (shown, *(error.message for error in errors)):
        assert "(no " in text
        assert " yes)" in text
    assert explanations(run.summary)[1] == []
    assert "html_inline" not in {token.type for token in markdown(run.summary)}


# Errors of libraries


def test_unexpected_error_is_logged_as_text_and_sets_every_output(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("\n::error::of a library\n##[error]x")

    monkeypatch.setattr("ved.commands.plan", fail)
    run = action.run([pair("owner/x")], mode="plan")
    assert run.status == 1
    _, error = only_commands(run, "add-mask", "error")
    assert code_of(error) == ErrorCode.VED_ITSELF_FAILED
    assert "Traceback" in run.log
    assert "\n::error::of a library\n" in run.log
    assert text_blocks(run.summary)[:2] == ["VED", "Nothing was done."]
    assert error.message.startswith(text_blocks(run.summary)[2])
    (row,) = rows_of(run)
    assert (row["action"], row["codes"]) == ("failed", [ErrorCode.VED_ITSELF_FAILED])
    assert run.outputs.items() >= {"built": "0", "failed": "1", "pending": "0"}.items()
