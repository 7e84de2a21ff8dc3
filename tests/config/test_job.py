"""A job says what it means: YAML in, the same YAML out, and every mistake named with its line."""

import math
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.config.job import Job
from hpss_batch.config.numerics import differences
from hpss_batch.config.outputs import STEM_FORMATS, STEM_RATES
from hpss_batch.config.template import template
from hpss_batch.dsp.methods import HpssParams, methods
from hpss_batch.dsp.stft import StftParams
from hpss_batch.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = "corpus: {path: music/}\noutput: {path: out/}\n"


def job(*overrides: str | tuple[str, object]) -> Job:
    return Job.from_command_line("music/", "out/", overrides)


def complaint(text: str, *overrides: str) -> str:
    """What is said of a YAML text."""
    with pytest.raises(ConfigError) as raised:
        Job.parse(text, overrides, name="job.yaml")
    return str(raised.value)


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as raised:
        job(*overrides)
    return str(raised.value)


# What a job is


def test_defaults_are_those_of_the_design():
    plain = job()
    assert (plain.corpus.sample_rate, plain.corpus.channels, plain.corpus.limit) == (44100, "mono", None)
    assert plain.stft == StftParams()
    assert plain.hpss == HpssParams()
    assert plain.output.arrays == ("harmonic_mask", "percussive_mask")
    assert (plain.output.mask_dtype, plain.output.unit_frames) == ("float32", None)
    assert (plain.output.stems, plain.output.features) == (None, None)
    assert plain.cluster.class_name == "distributed.LocalCluster"
    assert plain.dask == {}


def test_parameters_are_those_of_dsp():
    made = Job.parse(
        MINIMAL
        + "stft: {n_fft: 1024.0, hop_length: 100, win_length: 900, window: [kaiser, 8], center: off, pad_mode: edge}\n"
        + "hpss: {kernel_size: [17, 5], power: inf, margin: [1, 5]}\n"
    )
    assert made.stft == StftParams(1024, 100, 900, ("kaiser", 8), False, "edge")
    assert made.hpss == HpssParams((17, 5), math.inf, (1.0, 5.0))


def test_every_way_to_make_a_job_makes_the_same():
    made = Job.parse(MINIMAL, ["hpss.margin=3"])
    assert made == job("hpss.margin=[3, 3.0]")
    assert made == job(("hpss.margin", (3, 3)))
    assert made == Job.parse(
        {"corpus": {"path": Path("music/")}, "output": {"path": "out/"}, "hpss": {"margin": 3}}
    ).replace({"corpus.path": "music/"})
    assert made == Job(corpus={"path": "music/"}, output={"path": "out/"}, hpss={"margin": np.float32(3)})
    assert made != job()


def test_a_job_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        job().corpus.limit = 3


def test_a_block_of_comments_has_the_defaults():
    assert Job.parse(MINIMAL + "hpss:\n  # margin: 3\ndask:\n") == job()


def test_numbers_as_people_write_them():
    made = Job.parse(
        "corpus: {path: m, limit: 1e3, sample_rate: 44_100}\noutput: {path: o}\nhpss: {power: 1}"
    )
    assert (made.corpus.limit, made.corpus.sample_rate) == (1000, 44100)
    assert isinstance(made.hpss.power, float)
    assert Job.parse(MINIMAL + "hpss: {power: .inf}").hpss.power == math.inf


def test_text_that_yaml_1_1_takes_for_something_else():
    kwargs = "{walltime: 12:00:00, account: 0123, version: 1.2.3, day: 2024-05-17, tag: '1e3'}"
    made = Job.parse(MINIMAL + f"cluster: {{class: dask_jobqueue.SLURMCluster, kwargs: {kwargs}}}")
    assert made.cluster.kwargs == {
        "walltime": "12:00:00",
        "account": "0123",
        "version": "1.2.3",
        "day": "2024-05-17",
        "tag": "1e3",
    }
    assert Job.parse(made.to_yaml()) == made
    assert yaml.safe_load(made.to_yaml())["cluster"]["kwargs"] == made.cluster.kwargs


def test_order_of_arrays_does_not_matter():
    assert job("output.arrays=[residual, spectrogram]") == job("output.arrays=[spectrogram, residual]")
    assert job("output.arrays=residual").output.arrays == ("residual",)


def test_home_and_variables_are_expanded_and_nothing_else(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WORK", "/scratch/me")
    assert (
        job("corpus.path=$HOME/music", "output.path=${WORK}/out").absolute().output.path == "/scratch/me/out"
    )
    assert job("corpus.path=$HOME/music").corpus.path == "/home/me/music"
    made = job("corpus.path=~/music", "output.path=s3://bucket/~x")
    assert (made.corpus.path, made.output.path) == ("/home/me/music", "s3://bucket/~x")
    assert job().corpus.path == "music/"


def test_absolute_means_the_same_from_every_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = job("corpus.path=a/*.flac", "output.path=s3://bucket/out", "cluster.connect=here.json").absolute()
    assert made.corpus.path == str(tmp_path / "a" / "*.flac")
    assert made.output.path == "s3://bucket/out"
    assert made.cluster.connect == str(tmp_path / "here.json")
    assert job("cluster.connect=tcp://here:8786").absolute().cluster.connect == "tcp://here:8786"


def test_paths_may_hold_any_character():
    for path in ("a: b", "Ünï", "100%", "- x", "#1", "\udcff.wav", "a\nb", "'", "{id}", "null", "1e3"):
        made = Job.from_command_line(path, "out/", [("output.stems", {})])
        assert made.corpus.path == path
        assert Job.parse(made.to_yaml().encode().decode()) == made


def test_given_tells_what_was_set_from_defaults():
    made = job("stft.n_fft=2048", "cluster.class=distributed.LocalCluster", "output.stems.format=wav")
    assert all(
        made.given(key)
        for key in ("corpus.path", "stft", "stft.n_fft", "cluster.class", "output.stems.format")
    )
    assert not any(
        made.given(key) for key in ("stft.hop_length", "hpss.margin", "output.stems.path", "nothing.at.all")
    )


def test_parameters_of_dsp_are_blocks_of_a_job():
    made = job("hpss.margin=3", "stft.window=[kaiser, 14.0]", "output.features=true")
    output = {"path": "out/", "features": made.output.features}
    again = Job(corpus={"path": "music/"}, output=output, stft=made.stft, hpss=made.hpss)
    assert again == made
    assert again.replace({"stft.n_fft": 1024}).stft == StftParams(1024, window=("kaiser", 14.0))


def test_a_job_survives_pickling():
    made = job("hpss.margin=3")
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.given("hpss.margin")
    assert not again.given("hpss.power")


def test_replace_checks_again_and_keeps_the_rest():
    made = job("hpss.margin=3").replace({"output.unit_frames": 1024, "stft.n_fft": 1024})
    assert (made.output.unit_frames, made.stft.n_fft, made.hpss.margin) == (1024, 1024, (3.0, 3.0))
    assert made.given("hpss.margin")
    assert not made.given("hpss.power")
    with pytest.raises(
        ConfigError, match=r"^output\.unit_frames is 7; allowed: a multiple of 512, such as 512, or null$"
    ):
        made.replace({"output.unit_frames": 7})


# YAML out


def test_template_holds_the_defaults_and_explains_each_key():
    text = template()
    assert Job.parse(text) == job()
    assert job().to_yaml() == Job.parse(re.sub("\n  # (?=[a-z_]+: [^ ]+$)", "\n  ", text)).to_yaml()
    for name in ("n_fft", "pad_mode", "kernel_size", "margin"):
        assert re.search(rf"\n  # .+\n  # {name}: ", text), "follows the method"
    for name in yaml.safe_load(text)["output"]:
        assert re.search(rf"\n  # .+\n  {name}: ", text)
    assert Job.parse(template("a: b", "~c")).corpus.path == "a: b"
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("asked", [{"stems": True}, {"features": True}, {"stems": True, "cluster": "slurm"}])
def test_template_fills_in_what_is_asked_for_and_changes_nothing_else(asked):
    made = Job.parse(template(**asked))
    assert (made.output.stems is not None) == ("stems" in asked)
    assert (made.output.features is not None) == ("features" in asked)
    assert made.cluster.class_name == (
        "dask_jobqueue.SLURMCluster" if "cluster" in asked else job().cluster.class_name
    )
    back = {"output.stems": None, "output.features": None, "output.arrays": job().output.arrays}
    assert dict(made.replace(back)) | {"cluster": None} == dict(job()) | {"cluster": None}


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=5,
)
odd_text = st.text(alphabet="0123456789eEx_.:+-infyon~ ", min_size=1)
margins = st.floats(1, 100) | st.tuples(st.floats(1, 100), st.floats(1, 100))


@given(
    kwargs=st.dictionaries(st.text(min_size=1), yaml_values | odd_text, max_size=4),
    dask=st.dictionaries(
        st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,2}", fullmatch=True), yaml_values, max_size=3
    ),
    margin=margins,
    power=st.floats(0, exclude_min=True),
    kernel_size=st.integers(1, 99) | st.tuples(st.integers(1, 99), st.integers(1, 99)),
    path=st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text and "~" not in text),
)
@settings(max_examples=300, deadline=None)
def test_a_job_survives_its_yaml(kwargs, dask, margin, power, kernel_size, path):
    made = Job.parse(
        {
            "corpus": {"path": "music/", "include": [path]},
            "output": {"path": "out/", "stems": True, "features": True},
            "hpss": {"margin": margin, "power": power, "kernel_size": kernel_size},
            "cluster": {"kwargs": kwargs},
            "dask": dask,
        }
    )
    again = Job.parse(made.to_yaml())
    assert again == made
    assert again.to_yaml() == made.to_yaml()
    assert again.fingerprint() == made.fingerprint()


def test_yaml_keeps_every_default():
    values = yaml.safe_load(job().to_yaml())
    assert values["hpss"] == {
        "method": "librosa",
        "kernel_size": 31,
        "power": 2.0,
        "margin": 1.0,
        "channels": "each",
    }
    assert values["cluster"] == {
        "class": "distributed.LocalCluster",
        "kwargs": {},
        "scale": None,
        "adapt": None,
        "connect": None,
        "stalled_after": 600,
        "give_up_after": 172800,
    }


def test_load_reads_a_file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("\ufeff" + MINIMAL, "utf-8")
    assert Job.load(path) == Job.load(str(path), ["hpss.margin=1"]) == job()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_load_and_survive(path):
    made = Job.load(path)
    assert Job.parse(made.to_yaml()) == made
    assert path.read_text().startswith("# ")


def test_configs_are_what_their_names_say():
    names = ["laptop", "local_cluster", "slurm", "kubernetes", "existing_scheduler"]
    names += ["masks_uint8", "spectrograms", "masks_from_spectrograms", "banded", "tuned"]
    made = {name: Job.load(CONFIGS / f"{name}.yaml") for name in names}
    assert made["laptop"].corpus.limit == 10
    assert made["masks_uint8"].output.mask_dtype == "uint8"
    assert made["masks_from_spectrograms"].corpus.path == made["spectrograms"].output.path
    for method in ("banded", "tuned"):
        preset = methods[method]
        assert (made[method].hpss, made[method].stft) == (preset.hpss, preset.stft)
    assert made["slurm"].cluster.class_name == "dask_jobqueue.SLURMCluster"
    assert made["slurm"].cluster.kwargs["walltime"] == "01:00:00"
    assert made["existing_scheduler"].cluster.connect == "tcp://127.0.0.1:8786"
    assert set(names) == {path.stem for path in CONFIGS.glob("*.yaml")}


# Overrides


def test_overrides_win_over_the_file_and_over_earlier_ones():
    made = Job.parse(MINIMAL + "hpss: {margin: 2, power: 1}", ["hpss.margin=3", "hpss.margin=4"])
    assert (made.hpss.margin, made.hpss.power) == ((4.0, 4.0), 1.0)


def test_overrides_reach_into_free_blocks():
    made = Job.parse(
        MINIMAL
        + "cluster: {kwargs: {n_workers: 2}}\ndask: {distributed.worker.memory: {target: 0.5, spill: 0.6}}",
        [
            "cluster.kwargs.threads_per_worker=1",
            "cluster.kwargs.security.tls=true",
            "dask.distributed.worker.memory.target=0.8",
            "dask.logging={distributed: info, distributed.client: warning}",
        ],
    )
    assert made.cluster.kwargs == {"n_workers": 2, "threads_per_worker": 1, "security": {"tls": True}}
    assert made.dask == {
        "distributed.worker.memory.target": 0.8,
        "distributed.worker.memory.spill": 0.6,
        "logging": {"distributed": "info", "distributed.client": "warning"},
    }


def test_overrides_of_blocks_and_what_is_below():
    made = job(
        "output.stems.format=wav",
        "output.stems.subtype=PCM_24",
        "output.features={}",
        "cluster.scale={jobs: 3}",
    )
    assert made.output.stems.encoding == ("WAV", "PCM_24", ())
    assert made.output.features.n_mels == 128
    assert made.cluster.scale == {"jobs": 3}
    assert job("output.stems=true", "output.stems.format=ogg").output.stems.encoding == (
        "OGG",
        "VORBIS",
        ("OPUS",),
    )
    assert job("output.stems=false").output.stems is None
    assert job("hpss={margin: 3}", "hpss.power=1").hpss == HpssParams((31, 31), 1.0, (3.0, 3.0))


def test_overrides_are_not_written_into_what_they_change():
    given = {"corpus": {"path": "a"}, "output": {"path": "b"}, "dask": {"x": {"y": 1}}}
    Job.parse(given, ["corpus.path=c", "hpss.margin=3", "dask.x.y=2"])
    assert given == {"corpus": {"path": "a"}, "output": {"path": "b"}, "dask": {"x": {"y": 1}}}


def test_patterns_and_names_of_stems_need_no_quotes_on_the_command_line():
    assert job("corpus.include=*.flac").corpus.include == ("*.flac",)
    stems = job("output.stems=true", "output.stems.path={id}.{component}").output.stems
    assert stems.path == "{id}.{component}"
    assert job("corpus.include=['*.flac', '*.wav']").corpus.include == ("*.flac", "*.wav")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hpss.margn=3", "--set hpss.margn=3: hpss.margn is not a key; did you mean hpss.margin?"),
        ("hpss.margin", "--set hpss.margin: allowed is key=value, such as hpss.margin=3"),
        ("=3", "--set =3: allowed is key=value"),
        ("hpss.margin=[1", "--set hpss.margin=[1: the value is not YAML: expected ',' or ']'"),
        (
            "hpss.margin.left=3",
            "--set hpss.margin.left=3: hpss.margin is {left: 3}; allowed: a number from 1 on",
        ),
        ("stft.n_fft=", "--set stft.n_fft=: stft.n_fft is null; allowed: a whole number of samples"),
        ("nothing.here=1", "--set nothing.here=1: nothing is not a key; the keys of a job are corpus, stft,"),
        (
            "output.arrays=[masks]",
            "--set output.arrays=[masks]: output.arrays[0] is 'masks'; allowed: a list of spec",
        ),
        ("corpus.path.x=1", "--set corpus.path.x=1: corpus.path is 'music/', and has no keys"),
    ],
)
def test_a_wrong_override_is_named(override, said):
    assert refused(override).startswith(said)


def test_an_override_takes_the_blame_for_its_own_value_only():
    text = MINIMAL + "hpss:\n  margin: 0\noutput_: 1\n"
    assert complaint(text, "hpss.margin=0.5").splitlines() == [
        "job.yaml, line 5: output_ is not a key; did you mean output?",
        "--set hpss.margin=0.5: hpss.margin is 0.5; allowed: a number from 1 on, "
        "or a pair [harmonic, percussive] of them; finite, and often from 1 to 10",
    ]


# What is wrong


def test_all_problems_are_told_at_once_by_line():
    said = complaint(
        "corpus:\n"
        "  path: music/\n"
        "  sample_rate: 44.1\n"
        "  include: no\n"
        "hpss: {kernel_size: '31', mask: true}\n"
        "margin: 3\n"
        "output:\n"
        "  arrays: [spectrogram, masks, 3]\n"
        "  stems:\n"
        "    format: m4a\n"
        "cluster: {class: LocalCluster, kwargs: 3, scale: many}\n"
    )
    assert [line.split("; ")[0] for line in said.splitlines()] == [
        "job.yaml, line 3: corpus.sample_rate is 44.1",
        "job.yaml, line 4: corpus.include is false",
        "job.yaml, line 5: hpss.kernel_size is '31'",
        "job.yaml, line 5: hpss.mask is not a key",
        "job.yaml, line 6: margin is not a key",
        "job.yaml, line 7: output.path is missing",
        "job.yaml, line 8: output.arrays[1] is 'masks'",
        "job.yaml, line 8: output.arrays[2] is 3",
        "job.yaml, line 10: output.stems.format is 'm4a'",
        "job.yaml, line 11: cluster.class is 'LocalCluster'",
        "job.yaml, line 11: cluster.kwargs is 3",
        "job.yaml, line 11: cluster.scale is 'many'",
    ]
    assert "did you mean hpss.margin?" in said
    assert "put text into quotes" in said
    assert "this is text, not a number" in said


def test_values_that_dsp_refuses_are_told_at_once():
    said = complaint(
        MINIMAL + "stft: {n_fft: 8192, hop_length: 0, win_length: 4096, window: foo, pad_mode: zero}\n"
        "hpss:\n  kernel_size: 0\n  margin: [0.5, 2]\n  power: -1\n"
    )
    assert [re.match(r"job.yaml, line (\d): ([a-z_.]+)", line).groups() for line in said.splitlines()] == [
        ("3", "stft.hop_length"),
        ("3", "stft.window"),
        ("3", "stft.pad_mode"),
        ("5", "hpss.kernel_size"),
        ("6", "hpss.margin"),
        ("7", "hpss.power"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "job.yaml is empty; `hpss-batch init` writes a job"),
        ("# nothing\n---\n", "job.yaml is empty"),
        ("- music/", "job.yaml, line 1: a job is a mapping"),
        ("music/", "job.yaml, line 1: a job is a mapping"),
        ("corpus:\n\tpath: x", r"job.yaml, line 2, column 1 is not YAML: found character '\\t'.*not tabs"),
        ("corpus: [", "job.yaml, line 1, column 10 is not YAML: "),
        (
            "corpus: {path: a}\n---\ncorpus: {}",
            "job.yaml, line 2, column 1 is not YAML: but found another document",
        ),
        ("corpus: *there", "job.yaml, line 1, column 9 is not YAML: found undefined alias 'there'"),
        ("x: &a\n  y: *a", r"job.yaml, line 1: x\.y contains itself"),
        (
            "x: !!python/name:os.system",
            "job.yaml, line 1, column 4 is not YAML: could not determine a constructor",
        ),
        (
            "a: 1\nb: !!int x",
            "job.yaml, line 2, column 4 is not YAML: a value that is not of type int, or too long",
        ),
        (
            "a: " + "9" * 5000,
            "job.yaml, line 1, column 4 is not YAML: a value that is not of type int, or too long for it",
        ),
        ("a: 1\nb: \x07", "job.yaml, line 2: character 7 is not allowed in YAML"),
        ("? [a]\n: b", "job.yaml, line 1: this key is no name"),
        ("a: " + "[" * 5000, "job.yaml is not a job: it is nested too deeply"),
        ("corpus: {path: a}", r"job.yaml: output\.path is missing; it is needed: the run directory"),
        (
            MINIMAL + "hpss: 3",
            "job.yaml, line 3: hpss is 3; allowed: a block with the keys method, kernel_size, power, margin",
        ),
        (
            "corpus:\n  path: 3\noutput: {path: out}",
            r"job.yaml, line 2: corpus\.path is 3; .* or run directory; or a list",
        ),
        (MINIMAL + "dask: [a]", r"job.yaml, line 3: dask is \[a\]; allowed: a mapping"),
        (MINIMAL + "dask: {a: !!set {b}}", "job.yaml, line 3: dask is .*; allowed: a mapping"),
    ],
)
def test_what_is_no_job_is_told_with_its_line(text, said):
    assert re.match(said, complaint(text), re.DOTALL)


def test_keys_given_twice_and_keys_that_are_no_text():
    assert complaint("corpus:\n  path: a\n  path: b\n1: 2\non: 3\n").splitlines() == [
        "job.yaml, line 3: corpus.path is given a second time; the first is on line 2",
        "job.yaml, line 4: 1 is no name, and keys are names: put it into quotes if it is meant as one",
        "job.yaml, line 5: on is no name, and keys are names: put it into quotes if it is meant as one",
    ]


def test_aliases_and_merges_are_yaml_too():
    made = Job.parse(
        "corpus: &c {path: music/}\noutput: {path: out/}\nhpss: {<<: {margin: 3, power: 1}, power: 2}\n"
        "cluster: {kwargs: {a: &a [1], b: *a}}\n"
    )
    assert made.hpss == HpssParams((31, 31), 2.0, (3.0, 3.0))
    assert made.cluster.kwargs == {"a": [1], "b": [1]}
    assert Job.parse(made.to_yaml()) == made


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory; `hpss-batch init`"):
        Job.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"is a folder, not a job's YAML file; .*job\.yaml"):
        Job.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("corpus:\n  path: Ä".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml, line 2: byte 0xc4 is not UTF-8"):
        Job.load(tmp_path / "latin.yaml")


def test_errors_without_a_text_have_no_line():
    with pytest.raises(ConfigError) as raised:
        Job(corpus={"path": "a", 4: 5}, hps={}, cluster={"kwargs": {"f": print}})
    assert [line.split("; ")[0] for line in str(raised.value).splitlines()] == [
        "corpus has the key 4",
        "output.path is missing",
        "cluster.kwargs is {'f': <built-in function print>}",
        "hps is not a key",
    ]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["output.unit_frames=1000"],
            "output.unit_frames is 1000; allowed: a multiple of 512, such as 512 or 1024",
        ),
        (["output.unit_frames=0"], "output.unit_frames is 0; allowed: a multiple of 512"),
        (["output.arrays=[]"], "output.arrays is empty, and neither stems nor features are asked for"),
        (["output.arrays=[residual, residual]"], "each at most once"),
        (["output.path=music"], "output.path is 'music', which is the corpus; allowed: another folder"),
        (["corpus.include=[]"], "corpus.include is []; allowed: a list of patterns"),
        (
            ["corpus.sample_rate=0"],
            "corpus.sample_rate is 0; allowed: a whole number of Hz from 1 on, or null",
        ),
        (["corpus.channels=stereo"], "corpus.channels is 'stereo'; allowed: mono or all"),
        (["corpus.path=''"], "corpus.path is ''; allowed: text: a folder, glob"),
        (
            ["stft.hop_length=4096"],
            "stft.hop_length is 4096; allowed: at most the window's 2048: 2048 samples",
        ),
        (["stft.n_fft=512", "stft.win_length=600"], "stft.win_length=600 is larger than n_fft=512"),
        (["hpss.power=nan"], "hpss.power is 'nan'; allowed: a number above 0"),
        (["hpss.power=.nan"], "hpss.power is .nan; allowed: a number above 0"),
        (["hpss.margin=[1, 2, 3]"], "hpss.margin is [1, 2, 3]; allowed: a number from 1 on, or a pair"),
        (["hpss.margin=.inf"], "hpss.margin is .inf; allowed: a number from 1 on"),
        (["hpss.kernel_size=true"], "hpss.kernel_size is true; allowed: a whole number from 1 on"),
        (
            ["cluster.connect=tcp://a:1", "cluster.scale=2"],
            "cluster.connect and cluster.scale are both given",
        ),
        (
            ["cluster.connect=tcp://a:1", "cluster.class=a.B"],
            "cluster.connect and cluster.class are both given",
        ),
        (["cluster.scale=2", "cluster.adapt={}"], "cluster.adapt and cluster.scale are both given"),
        (["cluster.class=null"], "cluster.class is null, and so is connect; allowed: one of them"),
        (
            ["cluster.connect=somewhere"],
            "cluster.connect is 'somewhere'; allowed: an address such as tcp://host:8786",
        ),
        (
            ["output.stems=true", "stft.center=false"],
            "output.stems need a spectrogram that can be inverted: stft.center",
        ),
        (
            ["output.stems=true", "stft.hop_length=2000"],
            "output.stems need a spectrogram that can be inverted",
        ),
        (["output.stems.components=[]"], "output.stems.components is []; allowed: a list of harmonic"),
        (
            ["output.stems.subtype=FLOAT"],
            "output.stems.subtype is 'FLOAT'; flac allows PCM_16, PCM_24, PCM_S8, or null",
        ),
        (
            ["output.stems={format: mp3, sample_rate: 96000}"],
            "output.stems.sample_rate is 96000; MPEG_LAYER_III allows",
        ),
        (
            ["output.stems.path='{id}'"],
            "output.stems.path is '{id}'; allowed: text with {id} and {component} in it",
        ),
        (
            ["output.stems.path='{id}.{component}.{x}'"],
            "output.stems.path is '{id}.{component}.{x}'; allowed",
        ),
        (["output.stems.path='{id}{component'"], "output.stems.path is '{id}{component'; allowed"),
        (["output.stems.path='../{id}.{component}'"], "which leads out of stems/"),
        (["output.stems.path='/{id}.{component}'"], "which leads out of stems/"),
        (
            ["output.features.n_mels=2000"],
            "output.features.n_mels is 2000; allowed: at most the 1025 bins of stft.n_fft",
        ),
        (
            ["output.features.fmax=30000"],
            "output.features.fmax is 30000; allowed: at most half of corpus.sample_rate",
        ),
        (
            ["output.features={fmin: 500, fmax: 400}"],
            "output.features.fmax is 400; allowed: above fmin, which is 500",
        ),
        (
            ["output.features.kinds=[mfcc]"],
            "output.features.kinds[0] is 'mfcc'; allowed: a list of mel, log_mel",
        ),
    ],
)
def test_impossible_values_are_refused(overrides, said):
    assert said in refused(*overrides)


def test_arrays_may_be_empty_where_something_else_is_made():
    assert job("output.arrays=[]", "output.stems=true").output.arrays == ()
    assert job("output.arrays=[]", "output.features=true").output.arrays == ()


def test_one_component_needs_no_name_in_the_path():
    stems = job("output.stems={components: harmonic, path: '{id}'}").output.stems
    assert (stems.components, stems.path) == (("harmonic",), "{id}")


def test_a_scheduler_takes_the_place_of_the_default_class():
    address = job("cluster.connect=tcp://here:8786").cluster
    assert (address.class_name, address.connect, address.scheduler_file) == (None, "tcp://here:8786", None)
    assert job("cluster.connect=x/scheduler.json").cluster.scheduler_file == "x/scheduler.json"
    assert job("cluster.connect=here:8786").cluster.connect == "here:8786"


def test_formats_of_stems_are_those_of_libsndfile():
    for name, subtypes in STEM_FORMATS.items():
        assert all(soundfile.check_format(name.upper(), subtype) for subtype in subtypes)
        assert job(f"output.stems.format={name}").output.stems.encoding == (
            name.upper(),
            subtypes[0],
            subtypes[1:],
        )


@pytest.mark.parametrize(("subtype", "rates"), STEM_RATES.items())
def test_rates_of_stems_are_those_of_libsndfile(subtype, rates, tmp_path):
    container = {"OPUS": "ogg", "MPEG_LAYER_III": "mp3"}[subtype]
    for rate in rates:
        soundfile.write(
            tmp_path / "x", np.zeros(9, np.float32), rate, format=container.upper(), subtype=subtype
        )
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.write(
            tmp_path / "x", np.zeros(9, np.float32), 96000, format=container.upper(), subtype=subtype
        )


# What changes a number

CHANGES = [
    "corpus.sample_rate=22050",
    "corpus.channels=all",
    "stft.n_fft=4096",
    "stft.hop_length=256",
    "stft.window=hamming",
    "stft.pad_mode=reflect",
    "hpss.kernel_size=17",
    "hpss.power=1",
    "hpss.power=inf",
    "hpss.margin=[1, 2]",
    "output.arrays=spectrogram",
    "output.mask_dtype=uint8",
    "output.unit_frames=512",
    "output.features=true",
    "output.features.n_mels=64",
]
SAME = [
    "corpus.path=elsewhere/",
    "corpus.include=*.wav",
    "corpus.exclude=*.wav",
    "corpus.limit=3",
    "output.path=elsewhere/",
    "output.stems=true",
    "output.arrays=[percussive_mask, harmonic_mask]",
    "cluster.scale=3",
    "dask.x=1",
    "hpss.power=2",
    "hpss.margin=[1, 1]",
    "stft.win_length=2048",
]


def test_fingerprint_tells_jobs_of_other_numbers_apart():
    prints = [job(change).fingerprint() for change in CHANGES]
    assert len({*prints, job().fingerprint()}) == len(CHANGES) + 1
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in prints)


@pytest.mark.parametrize("change", SAME)
def test_fingerprint_leaves_out_what_changes_no_number(change):
    assert job(change).fingerprint() == job().fingerprint()
    assert differences(job(change).numerics(), job().numerics()) == []


def test_differences_name_the_keys():
    there, here = (
        job().numerics(),
        job("hpss.margin=3", "output.arrays=residual", "output.features.n_mels=64").numerics(),
    )
    said = differences(there, here)
    assert said[:2] == [
        "hpss.margin: 1.0 there, 3.0 here",
        "output.arrays: [harmonic_mask, percussive_mask] there, [residual] here",
    ]
    assert said[2:] == ["output.features: null there, set here"]
    assert differences(here, here) == []


# What it costs


def test_reading_a_job_imports_nothing_heavy():
    program = (
        "import sys; from hpss_batch.config.template import Job, template; Job.parse(template());"
        "heavy = {'numpy', 'scipy', 'numba', 'dask', 'distributed', 'xarray', 'zarr', 'soundfile'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("opening", ["a: &a [x,x,x,x,x,x,x,x,x]", "a: &a {x: 1, y: 2}"])
@pytest.mark.parametrize(
    "form", ["[*{0},*{0},*{0},*{0},*{0},*{0},*{0},*{0},*{0}]", "{{k: *{0}, l: *{0}, <<: [*{0}, *{0}]}}"]
)
def test_aliases_of_aliases_are_refused_at_once(opening: str, form: str) -> None:
    """Nine lines make a billion values ("billion laughs"), and forty 2 ** 40 merged keys."""
    if opening.endswith("]"):
        form = form.replace(", <<: [*{0}, *{0}]", "")
    names = [f"n{number}" for number in range(40)]
    lines = [
        f"{name}: &{name} {form.format(before)}" for before, name in zip(["a", *names], names, strict=False)
    ]
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"aliases \(\*name\) make more than 100,000 values"):
        Job.parse("\n".join([opening, *lines]))
    assert time.monotonic() - began < 1
