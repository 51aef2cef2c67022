from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dfer_data.errors import CorruptDataError
from dfer_data.storage.files import canonical_json
from lstpnet.run_files import FileFacts, check_file, check_own_sha256, facts_of, files_of, with_own_sha256


def test_a_document_carries_the_hash_of_all_its_other_fields() -> None:
    document = with_own_sha256({"b": 1, "a": [0.1, None], "sha256": "an old one"})
    assert document["sha256"] == hashlib.sha256(canonical_json({"a": [0.1, None], "b": 1})).hexdigest()
    check_own_sha256(document)
    with pytest.raises(ValueError, match="does not match its own sha256"):
        check_own_sha256(document | {"b": 2})
    with pytest.raises(ValueError, match="its own sha256 is missing"):
        check_own_sha256({"b": 1})


def test_the_bytes_of_a_file_are_checked_by_size_and_hash() -> None:
    path, facts = Path("run/config.json"), facts_of(b"abc")
    assert facts == FileFacts(3, hashlib.sha256(b"abc").hexdigest())
    assert check_file(path, b"abc", facts) == b"abc"
    assert check_file(path, b"anything", None) == b"anything"
    with pytest.raises(
        CorruptDataError, match=r"run/config\.json is damaged: it has 2 bytes, 3 were written; restore it"
    ):
        check_file(path, b"ab", facts)
    with pytest.raises(
        CorruptDataError, match=r"run/config\.json is damaged: it does not match its sha256; restore it"
    ):
        check_file(path, b"abd", facts)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "a\\b", "", "."])
def test_names_outside_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="it names a file outside its folder"):
        files_of({"files": {name: {"num_bytes": 0, "sha256": "0" * 64}}})
