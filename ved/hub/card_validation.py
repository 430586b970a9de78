"""Have the Hub validate the metadata of a model card."""

from huggingface_hub import HfApi
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ved.hub.errors import translated_errors


def validate_card(metadata: str, repo: str, api: HfApi) -> None:
    """Have the Hub validate the metadata of a model card. Writes nothing.

    Args:
        metadata: the YAML of the card's front matter.
        repo: the repo that the card is for.
        api: the client.

    Raises:
        VedError: the Hub would refuse the card.
    """
    card = {"content": f"---\n{metadata}\n---\n", "repoType": "model"}
    with translated_errors(f"validate the model card of {repo}", repo, writing=True):
        response = get_session().post(
            f"{api.endpoint}/api/validate-yaml",
            json=card,
            headers=build_hf_headers(token=api.token),
        )
        hf_raise_for_status(response)
