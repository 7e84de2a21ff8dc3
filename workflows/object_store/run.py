"""From bucket to bucket: a corpus by URL becomes a run directory by URL, of which a few bytes are read back.

    python workflows/object_store/run.py                                     # on a server of its own, for a try
    python workflows/object_store/run.py s3://bucket/music -o s3://bucket/out

The server of its own (moto, `pip install 'moto[server]'`) is on this machine, in memory, and gone at the end.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hpss_batch

JOB = Path(__file__).with_name("job.yaml")
BUCKET = "hpss-batch"


@contextmanager
def server_with_music() -> Iterator[str]:
    """A server on this machine with three pieces that are made; their URL."""
    import boto3
    from moto.server import ThreadedMotoServer
    from obstore.store import S3Store

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {  # workers have it from here
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
    }
    try:
        boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT"]).create_bucket(Bucket=BUCKET)
        store = S3Store(BUCKET)
        with tempfile.TemporaryDirectory() as folder:
            hpss_batch.example_corpus(Path(folder))
            for path in sorted(Path(folder, "music").rglob("*.*")):
                store.put(f"music/{path.relative_to(Path(folder, 'music')).as_posix()}", path)
        yield f"s3://{BUCKET}/music"
    finally:
        server.stop()


def separate(music: str, out: str) -> int:
    """Run, read back, print a line a track; the exit status."""
    job = hpss_batch.Job.load(JOB, [("corpus.path", music), ("output.path", out)])
    result = hpss_batch.run(job)
    for track, reason in result.failed.items():
        print(f"{track}: {reason}")
    corpus = hpss_batch.open_corpus(out)
    for name in corpus:
        mask = corpus[name].harmonic_mask
        start = mask.isel(frame=slice(512))  # one chunk: a request for its index, and one for it
        print(
            f"{name:40}{mask.sizes['frame']:8} frames; the first 512 are {float(start.mean()):.0%} harmonic"
        )
    print(f"Saved {out}")
    return result.exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description="Separate a corpus from bucket to bucket.")
    parser.add_argument("music", nargs="?", help="a URL, or a path; made on a server here if it is left out")
    parser.add_argument("-o", "--output", default=f"s3://{BUCKET}/out", help="the run directory's URL")
    given = parser.parse_args()
    if given.music is not None:
        return separate(given.music, given.output)
    with server_with_music() as music:
        return separate(music, given.output)


if __name__ == "__main__":  # worker processes import this file, too
    try:
        raise SystemExit(main())
    except hpss_batch.HpssBatchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
