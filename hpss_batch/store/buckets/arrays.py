"""How do arrays get into a bucket? As zarr has it, and once more where a server's answer broke off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import zarr.storage
from obstore.exceptions import GenericError

from hpss_batch.objects import PAUSES, broke_off


class BucketStore(zarr.storage.ObjectStore[Any]):
    """zarr's store of objects; see `objects.persistently`."""

    async def get(self, *args: Any, **options: Any) -> Any:
        """See `zarr.abc.store.Store`."""
        return await _persistently(super().get, *args, **options)

    async def set(self, *args: Any, **options: Any) -> None:
        """See `zarr.abc.store.Store`."""
        await _persistently(super().set, *args, **options)

    async def set_if_not_exists(self, *args: Any, **options: Any) -> None:
        """See `zarr.abc.store.Store`."""
        await _persistently(super().set_if_not_exists, *args, **options)

    async def delete(self, *args: Any, **options: Any) -> None:
        """See `zarr.abc.store.Store`."""
        await _persistently(super().delete, *args, **options)


async def _persistently(call: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
    for pause in PAUSES:
        try:
            return await call(*args, **options)
        except GenericError as error:
            if not broke_off(error):
                raise
            await asyncio.sleep(pause)
    return await call(*args, **options)
