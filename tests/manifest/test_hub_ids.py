"""ved.manifest.hub_ids: the Hub's licenses and languages, and the nearest right one."""

import pytest

from ved.manifest import hub_ids


def test_lists_have_the_ids_of_the_hub() -> None:
    assert {"apache-2.0", "openrail++", "llama4", "other"} <= {*hub_ids.licenses()}
    assert len(hub_ids.licenses()) == len({*hub_ids.licenses()}) > 70
    assert {"en", "eng", "ger", "deu", "yue", "code", "multilingual"} <= hub_ids.languages().keys()
    assert not {"qq", "en-US", "english", ""} & hub_ids.languages().keys()
    assert hub_ids.languages()["de"] == "German"


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("apache 2", "apache-2.0"),
        ("MIT", "mit"),
        ("cc_by_sa_4.0", "cc-by-sa-4.0"),
        ("MIT License", "mit"),
        ("GPLv3", "gpl-3.0"),
        ("LGPL-2.1-or-later", "lgpl-2.1"),
        ("The Apache License, Version 2.0", "apache-2.0"),
        ("BSD-3", "bsd-3-clause"),
        ("cc-by", "cc-by-4.0"),
        ("OpenRAIL++", "openrail++"),
        ("my very own license", None),
        ("---", None),
    ],
)
def test_nearest_license(value: str, nearest: str | None) -> None:
    assert hub_ids.nearest_license(value) == nearest


@pytest.mark.parametrize(
    ("value", "nearest"),
    [("EN", "en"), ("en-US", "en"), ("zh_Hant", "zh"), ("Norwegian", "no"), ("germn", "de")],
)
def test_nearest_language(value: str, nearest: str) -> None:
    assert hub_ids.nearest_language(value) == nearest
