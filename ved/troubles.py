"""The failures that users really meet: what each means, and what to do, step by step.

An error names its kind (`VedError.see`) and so leads to a heading of docs/troubleshooting.md, which
is written from this table by `make docs`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

PAGE = "https://github.com/ved-action/ved/blob/main/docs/troubleshooting.md"


@dataclass(frozen=True)
class Trouble:
    """One kind of failure, in Markdown.

    Attributes:
        title: a heading, from which GitHub makes the kind as its anchor.
        meaning: what has happened, in two or three sentences.
        steps: what to do, in order.
    """

    title: str
    meaning: str
    steps: tuple[str, ...]


def link(kind: str) -> str:
    """Return the address where a kind is explained."""
    return f"{PAGE}#{kind}"


def with_links(text: str, kinds: Iterable[str]) -> str:
    """Return what is said of failures, with the addresses of more at its end."""
    links = " and ".join(link(kind) for kind in kinds if kind)
    return f"{text} See {links}" if links else text


def in_markdown(kinds: Iterable[str]) -> str:
    """Return a sentence that leads to more, to follow what is said of failures; maybe empty."""
    links = " and ".join(f"[{kind.replace('-', ' ')}]({link(kind)})" for kind in kinds if kind)
    return f"See {links}." if links else ""


_TOKENS = {
    "no-token": Trouble(
        "No token",
        "Publishing takes a Hugging Face token, or a job that publishes as itself, and there is "
        "neither. In a workflow, a secret that does not exist is an empty text, not an error.",
        (
            "Make a fine-grained token that can write to the namespaces of your manifest, at "
            "<https://huggingface.co/settings/tokens>.",
            "Store it in your GitHub repository under *Settings*, *Secrets and variables*, "
            "*Actions*, as `HF_TOKEN`.",
            "Pass it on: `with: {token: '${{ secrets.HF_TOKEN }}'}`. Check that the name is the "
            "same, and that a secret of an environment is used in a job with that `environment`.",
            "On the command line, set the variable `HF_TOKEN`, or run `hf auth login`.",
            "To do without a stored token, see "
            "[Without a stored token](../README.md#without-a-stored-token).",
        ),
    ),
    "token-not-valid": Trouble(
        "Token not valid",
        "The Hub does not know the token: it has expired, was revoked, is another Hub's, or was "
        "not copied whole. A space or a line break that was copied with it counts, too.",
        (
            "See at <https://huggingface.co/settings/tokens> whether the token is still there.",
            "If it is not, or you cannot tell, make a new one, and paste it anew into the secret.",
            "If you set the input `endpoint` or the variable `HF_ENDPOINT`, check that the token "
            "is of that Hub.",
        ),
    ),
    "token-may-not-write": Trouble(
        "Token may not write",
        "The token is valid, but cannot write where the manifest wants to publish: it can only "
        "read, its account is no member with write access, or, if fine-grained, it leaves this "
        "namespace or this right out. Creating a repo takes the right to its whole namespace.",
        (
            "Check the owner in the pair's `repo`, and `namespace`.",
            "Check that the token's account may write in that organization.",
            "Give the token, at <https://huggingface.co/settings/tokens>, the right to write to "
            "the repos of that user or organization; of the simple kinds, take `write`.",
        ),
    ),
}

_SOURCES = {
    "gated-source": Trouble(
        "Gated source",
        "The source's authors want their terms accepted first, or the token may not read it. "
        "Terms are accepted by an account, on the website; its tokens have access then, but a "
        "fine-grained one only if it says so.",
        (
            "Log in at <https://huggingface.co> with the account that owns the token, open the "
            "source's page, and accept its terms. Some authors take days to answer.",
            "If the token is fine-grained, let it read public gated repos, and the namespace of "
            "the source if that is private.",
            "In mode `plan`, too, give a token: without one every gated source is refused. A pull "
            "request from a fork gets none, so there such a pair is always refused.",
        ),
    ),
    "no-such-repo": Trouble(
        "No such repo",
        "The Hub shows no such repo to this token or, without a token, to the public. It does not "
        "tell a repo that is private from one that does not exist.",
        (
            "Open `https://huggingface.co/OWNER/NAME` in a browser, and check the spelling by what "
            "you see.",
            "If it is private, give a token that can read it. A fine-grained one has to name the "
            "repo or its owner.",
            "If you mean a local directory, begin its path with `./`.",
        ),
    ),
    "no-such-revision": Trouble(
        "No such revision",
        "The repo is there, and what stands behind the `@`, or in `revision`, is not: a branch "
        "that was deleted, a tag that was misspelt, or a commit of another repo.",
        (
            "Look at `https://huggingface.co/OWNER/NAME/commits/main`.",
            "Name a branch, a tag, or a commit by all of its 40 digits. Leave it out for `main`.",
        ),
    ),
    "config-not-usable": Trouble(
        "Config not usable",
        "VED reads a source by its `config.json`, as transformers does. Here it is missing, names "
        "no `model_type`, cannot be read, or describes a model that transformers cannot make.",
        (
            "Check that the source is a transformers checkpoint. Repos for timm, open_clip or "
            "llama.cpp, and adapters such as LoRA, are none.",
            "If the weights are right and only the config is not, take another repo's: "
            "`encoder: {model: OWNER/NAME, config: OWNER/OTHER}`.",
        ),
    ),
    "settings-that-flax-ignores": Trouble(
        "Settings that Flax ignores",
        "The source was trained with a setting that transformers' Flax class does not know, or its "
        "weights are quantized. The checkpoint would load, and compute something else, so it is "
        "refused.",
        (
            "Use the original of a quantized model: its card names it.",
            "Otherwise use another model. Changing the setting in the config would make the error "
            "silent, not mend it.",
        ),
    ),
    "family-that-does-not-work": Trouble(
        "Family that does not work",
        "A Flax vision encoder-decoder model is made of transformers' Flax classes. For this "
        "family there is none, or its decoder cannot attend to an encoder. Nothing in the manifest "
        "can change that.",
        (
            "Check that encoder and decoder are not interchanged.",
            "Choose a model of a family that works: "
            "[Which pairs work](../README.md#which-pairs-work). Of many models there are relatives "
            "in those, such as a `vit` beside a `clip`.",
        ),
    ),
    "no-usable-weights": Trouble(
        "No usable weights",
        "VED reads `model.safetensors` and `flax_model.msgpack`, whole or in shards. A source with "
        "`pytorch_model.bin` alone is refused, because a pickle is a program. TensorFlow's, ONNX's "
        "and GGUF's files are not read.",
        (
            "Look at the source's *Community* tab: often a bot has proposed safetensors there. Use "
            "that proposal with `OWNER/NAME@refs/pr/1`, with its own number.",
            "If you trust the source, allow its pickle: "
            "`decoder: {model: OWNER/NAME, allow_pickle: true}`. VED reads the tensors and runs "
            "nothing.",
            "Or convert it once: load it with transformers on a machine of yours, "
            "`save_pretrained` it, and use that directory or a repo with it.",
        ),
    ),
    "damaged-source": Trouble(
        "Damaged source",
        "A file of the source is not what its name says, breaks off, is missing although another "
        "one lists it, or holds what VED cannot make sense of, such as one tensor twice. Or it is "
        "not the file that the Hub says it stores, by its sha256, though it was downloaded twice.",
        (
            "If the message names two sha256, run again. If that does not help, the file is "
            "damaged on the Hub, or by a proxy on the way.",
            "If it is a local directory that git cloned, run `git lfs pull` in it: without, weight "
            "files are notes of three lines.",
            "Look at the repo's files and commits. If its author is in the middle of an upload, "
            "run again later; or use an older commit: `OWNER/NAME@COMMIT`.",
            "If transformers does not load it either, tell its author.",
        ),
    ),
    "weights-that-do-not-fit": Trouble(
        "Weights that do not fit",
        "The config makes a model whose parameters are not those of the weight file: a tensor has "
        "another shape, or is missing. transformers would fill such parameters at random and go "
        "on; VED does not.",
        (
            "If the pair has `config`, check that it is that of the weights. Without it, the "
            "source's own is used.",
            "Compare the names of tensors in the message with the files of the source (the Hub "
            "shows them by a click on a safetensors file). Weights of another library, and "
            "adapters without their base model, have other names.",
            "Use the base model that the source was made of: its card names it.",
        ),
    ),
    "token-ids": Trouble(
        "Token ids",
        "The checkpoint has to know which tokens begin, fill up and end a text. VED takes them "
        "from the manifest, then from the decoder's config, then from its tokenizer. Here one is "
        "in none of them, or is no token of the vocabulary.",
        (
            "Look the ids up in the decoder's `tokenizer_config.json` or `tokenizer.json`, and "
            "check that they are below `vocab_size` in its `config.json`.",
            "Say them in the pair, such as `token_ids: {decoder_start: 50256, pad: 50256, eos: "
            "50256}` for GPT-2; one that is right already can be left out.",
        ),
    ),
    "image-processor-or-tokenizer": Trouble(
        "Image processor or tokenizer",
        "A checkpoint is published with what prepares its images and reads its text, so the "
        "encoder needs `preprocessor_config.json`, and the decoder its tokenizer's files. Here "
        "they are missing, or transformers cannot read them without running code of the source.",
        (
            "Use a checkpoint that has them: often the base model does where a fine-tuned one does "
            "not.",
            "Or download the source into a folder beside the manifest, add the file from the model "
            "that it was made of, and name the folder: `encoder: ./my-encoder`.",
        ),
    ),
}

_TARGETS = {
    "repo-not-made-by-ved": Trouble(
        "Repo not made by VED",
        "There is a repo of this name, with files in it, and no `ved.json`. VED did not make it, "
        "so publishing could replace somebody's work.",
        (
            "Choose another name in `repo`, if the repo is something else.",
            "If it may be replaced, say `adopt: true` in the pair. Weights, config, card and "
            "tokenizer are replaced, and other files stay; the repo's history keeps all of it.",
            "Take `adopt` out again after the first build: VED knows the repo from then on.",
        ),
    ),
    "changed-since": Trouble(
        "Changed since",
        "Since VED published this checkpoint, somebody has committed to its repo: trained it, "
        "edited the card, or changed `ved.json`. VED compares every file with its record and "
        "overwrites nobody's work.",
        (
            "Look at who did what: `https://huggingface.co/OWNER/NAME/commits/main`.",
            "To keep it, take the pair out of the manifest, or publish the pair under another "
            "name. What you want on the card belongs in `description`.",
            "To replace it, say `overwrite: true` in the pair, and take it out again after the "
            "build; otherwise the next change is replaced as well.",
        ),
    ),
    "changed-meanwhile": Trouble(
        "Changed meanwhile",
        "Between the plan and the commit, somebody committed to the repo, or created it. Nothing "
        "was published, and nothing was overwritten.",
        (
            "Run again: the plan looks at the repo anew.",
            "If it happens often, two workflows publish the same pairs. Give them one "
            "`concurrency` group, as in [publish.yml](../examples/workflows/publish.yml).",
            "If VED says each time that the repo exists, it is a private one that the token cannot "
            "see. Let the token see it, or choose another name.",
        ),
    ),
    "check-failed": Trouble(
        "Check failed",
        "The commit was made, and what the Hub then served was not what VED had published, or "
        "could not be loaded, or could not be had at all. The message says which file it was, and "
        "names the commit and the one before it. By then both can be downloaded by everybody who "
        "may see the repo.",
        (
            "If the Hub did not answer, nothing was found to be wrong. `ved verify OWNER/NAME` "
            "compares what the Hub has with what the sources give, without downloading weights.",
            "Until it is clear, use the commit before: "
            '`from_pretrained("OWNER/NAME", revision="COMMIT")`.',
            "To publish anew, delete the repo, or give the pair another `repo`, and run again. "
            "Another run alone skips what is there, because the Hub lists it as the manifest has "
            "it.",
            "With `check: generate`, the message ends in what the code of the card printed last. "
            "Status -9 means that the machine had no memory left for it: use a larger runner, or "
            "`check: load`.",
        ),
    ),
    "collection-not-changed": Trouble(
        "Collection not changed",
        "The repo is published, but it could not be put into the collection that its pair names, "
        "or the collection could not be made or put in order. In parentheses the message has the "
        "Hub's own words.",
        (
            "Check the owner in `collection`: without one it is that of `namespace`. The token's "
            "account has to be a member with write access; a fine-grained token also needs the "
            "right to the owner's collections.",
            "A job that publishes as itself, without a stored token, cannot change collections. "
            "Give a `token` as well, or take `collection` out.",
            "Run again: what is published already is skipped, and put into its collection.",
        ),
    ),
    "model-card-refused": Trouble(
        "Model card refused",
        "The Hub checks a model card's metadata, and refuses what it does not know. In parentheses "
        "the message has the Hub's own words.",
        (
            "`license`: use an id of <https://huggingface.co/docs/hub/repositories-licenses>, or "
            "`other`.",
            "`language`: use ISO 639 codes, such as `en` or `pt`.",
            "`tags`: take out the one that is named.",
        ),
    ),
}

_HUB = {
    "hub-does-not-answer": Trouble(
        "Hub does not answer",
        "VED could not reach the Hub, or it answered that it is in trouble itself. What may pass "
        "in a moment was tried again several times before VED gave up. Pairs that were published "
        "by then stay published.",
        (
            "Look at <https://status.huggingface.co>, and run again later: what is published "
            "already is skipped.",
            "If you set `endpoint` or `HF_ENDPOINT`, check the address. `HF_HUB_OFFLINE` has to be "
            "unset.",
            "On a runner of your own, let it reach `huggingface.co` and the hosts that its "
            "downloads lead to, under `hf.co`. A proxy has to pass range requests on.",
        ),
    ),
    "rate-limit": Trouble(
        "Rate limit",
        "The Hub allows a number of requests in five minutes, by account, or by address where "
        "there is no token. On GitHub's runners, jobs without a token share their address with "
        "many others.",
        (
            "Wait five minutes and run again: what is published already is skipped.",
            "Give a token in mode `plan`, too, where the job has secrets.",
            "Use fewer `shards`, so that fewer jobs ask at a time. The limits are at "
            "<https://huggingface.co/docs/hub/rate-limits>.",
        ),
    ),
}

_MACHINE = {
    "not-enough-disk": Trouble(
        "Not enough disk",
        "A pair takes its two sources and its checkpoint, all at the same time; with both weight "
        "files a checkpoint is about twice as large as its sources. GitHub's own runners have "
        "about 14 GB free.",
        (
            "Publish one weight file: `weights: safetensors`, which PyTorch and Flax both read.",
            "If `max-disk` is set, set it higher.",
            "Use a larger runner. More `shards` do not help a pair that does not fit alone.",
            "On your own machine, free disk where `--output-dir` is, or else where temporary files "
            "go, which the variable `TMPDIR` says.",
        ),
    ),
    "not-enough-memory": Trouble(
        "Not enough memory",
        "VED streams weights, and holds little more than the largest tensors of a pair, which for "
        "a large vocabulary are gigabytes. The warning is an estimate, and the build goes on. "
        "Where it was right, the system kills the job, often with status 137 and no further word.",
        (
            "If the build succeeds, there is nothing to do.",
            "If the job is killed, publish one weight file: `weights: safetensors`.",
            "If that does not do, use a larger runner.",
        ),
    ),
}

_ACTIONS = {
    "id-token-permission": Trouble(
        "Id token permission",
        "There is no token, and the job may not ask GitHub for an identity to publish with: the "
        "permission `id-token: write` is missing. No job has it by default.",
        (
            "To publish with a token, see [No token](#no-token).",
            "To publish without, give the job `permissions: {contents: read, id-token: write}`.",
            "A reusable workflow has no more than the job that calls it: the permission has to "
            "stand in both.",
        ),
    ),
    "trusted-publisher": Trouble(
        "Trusted publisher",
        "The job has an identity, and the repo on the Hub does not trust it. A publisher in the "
        "repo's settings trusts a job whose every claim is exactly the one that is filled in "
        "there. The Hub does not say which one differs, so VED says what the job's are.",
        (
            "Create the repo, if there is none: an identity cannot. Or give a `token` too.",
            "At `https://huggingface.co/OWNER/NAME/settings`, under *Trusted Publishers*, compare "
            "what is there with the claims in the message: repository, workflow, branch or ref, "
            "environment. Of a reusable workflow, it is the workflow that calls it that counts.",
            "Leave empty all but the repository, to find out which one it is.",
            "To publish with a token instead, see [No token](#no-token).",
        ),
    ),
    "pull-requests-never-publish": Trouble(
        "Pull requests never publish",
        "A run for a fork's code, or for the event `pull_request_target`, could publish what "
        "nobody has approved, with your rights. VED publishes nothing in such a run, whatever it "
        "is given.",
        (
            "Use `mode: plan` there, as in [pull-request.yml](../examples/workflows/"
            "pull-request.yml): it says what would be built, and needs no secret.",
            "Publish on `push` to your main branch, as in "
            "[publish.yml](../examples/workflows/publish.yml).",
        ),
    ),
    "outside-the-workspace": Trouble(
        "Outside the workspace",
        "`results-file` and `checksums-file` are written inside the workspace only. The action "
        "runs in a container, so a path such as `/tmp/results.json` would be lost with it.",
        ("Name a path relative to the workspace, such as `results.json`, without `..`.",),
    ),
    "job-without-results": Trouble(
        "Job without results",
        "Mode `report` sums up the results files of other jobs, and a pair that was to be built "
        "has none: its job was cancelled, killed, ran out of time, or did not hand its file on.",
        (
            "Look at the log of the job that was to build the pair. If it breaks off without a "
            "message, see [Not enough memory](#not-enough-memory); a job ends after six hours.",
            "Check that each job uploads its `results-file`, in a step with "
            "`if: ${{ !cancelled() }}`, and that the summary's job downloads all of them into the "
            "folder of the input `results`, with nothing else.",
            "Choose *Re-run all jobs*: what is published already is skipped.",
        ),
    ),
}

_VED = {
    "wrong-manifest": Trouble(
        "Wrong manifest",
        "The manifest is read as a whole before anything is done, and everything that is wrong is "
        "said at once, with line and column. Nothing was built.",
        (
            "Correct the places that are named. `ved validate pairs.yaml` says the same on your "
            "machine, in a second.",
            "Have your editor check while you write, by the first line of the example in "
            "[The manifest](../README.md#the-manifest).",
        ),
    ),
    "ved-itself-failed": Trouble(
        "VED itself failed",
        "Something happened that VED does not expect: a defect of VED, or a source so strange "
        "that nobody thought of it. The other pairs go on.",
        (
            "Run again, once: it may have been the machine.",
            "Report it at <https://github.com/ved-action/ved/issues>, with the pair's entry and "
            "the part of the log from `Unexpected error` on. Read it before you post it: the "
            "names of private repos may be in it.",
        ),
    ),
}

TROUBLES: Mapping[str, Mapping[str, Trouble]] = MappingProxyType(
    {
        "Token and rights": _TOKENS,
        "Sources": _SOURCES,
        "Repo to publish to": _TARGETS,
        "The Hub": _HUB,
        "The machine": _MACHINE,
        "GitHub Actions": _ACTIONS,
        "Manifest, and VED": _VED,
    }
)
"""Every failure by its kind, in sections of the page."""
