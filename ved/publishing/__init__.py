"""Read and change the repos and collections that VED publishes to.

This face offers what reads. Only `ved.publishing.commits` and `ved.publishing.collection_sync`
write to the Hub; import those modules themselves, so that a linter can see who writes.
"""

from ved.publishing.collections import check_collection, find_uncollected
from ved.publishing.repos import (
    ListedRepo,
    RemoteFile,
    TargetRepo,
    checkpoint_files,
    list_repos,
    read_published_record,
    read_record_file,
    read_repo,
)

__all__ = [
    "ListedRepo",
    "RemoteFile",
    "TargetRepo",
    "check_collection",
    "checkpoint_files",
    "find_uncollected",
    "list_repos",
    "read_published_record",
    "read_record_file",
    "read_repo",
]
