"""Are the stems that were rendered still the files that they were?

Each record of stems has the size and a CRC32C of every file. The files are read in blocks and compared; nothing is
rendered again, since stems are one `hpss-batch render` away. Those of tracks that were placed again have no files any
more: the new ones took their names.
"""

from concurrent.futures import ThreadPoolExecutor

from hpss_batch.errors import StoreError
from hpss_batch.stems.writer import measure
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import STEMS, RunDirectory
from hpss_batch.store.stem_records import Stem, StemRecord
from hpss_batch.verification.findings import Finding


def check_stems(directory: RunDirectory, catalog: Catalog) -> tuple[list[Finding], int, int]:
    """What is wrong with the files of stems; how many there should be, and how many bytes were read."""
    findings, wanted = list[Finding](), list[tuple[str, StemRecord, Stem]]()
    counting = set(catalog.current.values())
    for key in directory.stem_keys():
        try:
            directory.stem_settings(key)
        except StoreError as error:
            means = "nobody knows how stems of this kind were made, and runs stop at it"
            findings.append(Finding("wrong", str(error), means, "do as it says, then verify again"))
        try:
            records = catalog.with_stems(directory.stem_records(key, counting)).stems
        except StoreError as error:
            means = "nobody knows which stems there are of this kind"
            findings.append(Finding("wrong", str(error), means, "do as it says, then verify again"))
            continue
        wanted += [
            (key, r, stem) for r in records.values() if r.status == "done" for stem in r.stems.values()
        ]
    with ThreadPoolExecutor(2) as pool:
        n_bytes = 0
        for (key, record, stem), found in zip(
            wanted, pool.map(lambda item: measure(directory.url, item[2].name), wanted), strict=True
        ):
            size, digest = found if found is not None else (0, 0)
            n_bytes += size
            if (size, digest) != (stem.n_bytes, stem.crc32c):
                findings.append(_finding(key, record, stem, None if found is None else size))
    return findings, len(wanted), n_bytes


def _finding(key: str, record: StemRecord, stem: Stem, size: int | None) -> Finding:
    if size is None:
        what = "is missing"
    elif size != stem.n_bytes:
        what = f"has {size:,} bytes, not the {stem.n_bytes:,} that were written"
    else:
        what = "holds other bytes than were written"
    cure = f"`hpss-batch render OUT {record.track}`, with the settings of these stems, makes them again"
    means = "the stems of this track do not add up to it any more"
    return Finding("wrong", f"{STEMS}/{stem.name} {what}", means, cure, tracks=(record.track,))
