"""Collections: named lists of repos."""

import json
import re
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from ved.localhub import errors
from ved.localhub.files import replace_text
from ved.localhub.payloads import CollectionItemChange, NewCollection, NewCollectionItem
from ved.localhub.storage import timestamp


class Collections:
    """All collections of a hub. A JSON file keeps them and is rewritten at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._by_slug: dict[str, dict[str, Any]] = (
            json.loads(file.read_text()) if file.exists() else {}
        )

    def all(self) -> list[dict[str, Any]]:
        """Return all collections, oldest first."""
        return list(self._by_slug.values())

    def get(self, slug: str) -> dict[str, Any]:
        """Return a collection.

        Raises:
            HubError: 404, there is no such collection.
        """
        if slug not in self._by_slug:
            raise errors.HubError(404, "Collection not found")
        return self._by_slug[slug]

    def create(self, new: NewCollection, *, unique: bool = True) -> dict[str, Any]:
        """Create a collection.

        Args:
            new: the request.
            unique: whether to refuse a second collection of a title.

        Raises:
            HubError: 409, the owner has a collection with this title.
        """
        with self._lock:
            for known in self._by_slug.values():
                if unique and (known["owner"], known["title"]) == (new.namespace, new.title):
                    raise errors.conflict("Collection already exists", slug=known["slug"])
            name = "-".join(re.findall(r"[a-z0-9]+", new.title.lower()))
            collection: dict[str, Any] = {
                "slug": f"{new.namespace}/{name}-{_object_id()}",
                "title": new.title,
                "description": new.description,
                "owner": new.namespace,
                "items": [],
                "lastUpdated": timestamp(time.time()),
                "position": 0,
                "private": new.private,
                "theme": "green",
                "upvotes": 0,
            }
            self._by_slug[collection["slug"]] = collection
            self._save()
            return collection

    def add_item(self, slug: str, new: NewCollectionItem) -> dict[str, Any]:
        """Append an item.

        Raises:
            HubError: 409, the collection has the item.
        """
        with self._lock:
            collection = self.get(slug)
            items = collection["items"]
            if any((item["id"], item["type"]) == (new.item.id, new.item.type) for item in items):
                raise errors.conflict("This item is already in the collection")
            item = {**new.item.model_dump(), "_id": secrets.token_hex(12), "position": len(items)}
            if new.note is not None:
                item["note"] = {"text": new.note}
            items.append(item)
            self._touch(collection)
            return collection

    def change_item(self, slug: str, item_id: str, change: CollectionItemChange) -> dict[str, Any]:
        """Move an item to another position, or change its note.

        The other items keep their order. The Hub does not document how it moves them.

        Args:
            slug: the collection.
            item_id: the `_id` of the item.
            change: the new position or note.

        Raises:
            HubError: 404, there is no such collection or item.
        """
        with self._lock:
            collection = self.get(slug)
            items = collection["items"]
            item = next((item for item in items if item["_id"] == item_id), None)
            if item is None:
                raise errors.HubError(404, "Item not found")
            if change.note is not None:
                item["note"] = {"text": change.note}
            if change.position is not None:
                items.remove(item)
                items.insert(change.position, item)
                for position, each in enumerate(items):
                    each["position"] = position
            self._touch(collection)
            return dict(item)

    def _touch(self, collection: dict[str, Any]) -> None:
        collection["lastUpdated"] = timestamp(time.time())
        self._save()

    def _save(self) -> None:
        replace_text(self._file, json.dumps(self._by_slug, indent=1))


def _object_id() -> str:
    """Return an id whose order is that of creation, as the ids of MongoDB are."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"
