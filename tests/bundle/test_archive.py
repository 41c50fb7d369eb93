"""The archive has one form, which other tars read and this reader insists on."""

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle.archive import (
    BLOCK,
    ArchiveReader,
    archive_size,
    read_archive,
    read_archive_file,
    write_archive,
)
from cogd.bundle.members import MAX_BUNDLE_BYTES, MAX_ENVELOPE_BYTES, MAX_MANIFEST_BYTES
from cogd.errors import ArchiveError

from .archives import HEAD, Tape, raw_archive, with_header

SMALL = HEAD | {"a": b"", "model.onnx": b"x" * 700, "b" * 100: b"y" * 512}

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
contents = st.dictionaries(names, st.binary(max_size=1100), max_size=5)


@given(contents)
def test_round_trip(more):
    lowered = [name.lower() for name in (*HEAD, *more)]
    files = HEAD | more
    if len(set(lowered)) < len(lowered):
        with pytest.raises(ArchiveError):
            write_archive(files)
    else:
        assert list(read_archive(write_archive(files)).items()) == list(files.items())


def test_tarfile_reads_it():
    with tarfile.open(fileobj=io.BytesIO(write_archive(SMALL)), mode="r:") as tar:
        members = tar.getmembers()
        assert {m.name: tar.extractfile(m).read() for m in members} == SMALL
    for member in members:
        assert (member.mode, member.uid, member.gid, member.mtime) == (0o644, 0, 0, 0)
        assert member.isreg()
        assert member.pax_headers == {}


def test_gnu_tar_lists_it(tmp_path):
    (tmp_path / "bundle.tar").write_bytes(write_archive(SMALL))
    done = subprocess.run(
        ["tar", "-tvf", "bundle.tar"], cwd=tmp_path, capture_output=True, text=True, check=True, env={"TZ": "UTC0"}
    )
    assert done.stderr == ""
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], int(line[2]), line[-1]) for line in lines] == [
        ("-rw-r--r--", len(data), name) for name, data in SMALL.items()
    ]


def test_python_ustar_with_the_same_fields_differs_only_where_ours_is_stricter():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in SMALL.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    theirs, ours = buffer.getvalue(), write_archive(SMALL)
    assert len(theirs) == tarfile.RECORDSIZE  # padded to whole records: refused
    with pytest.raises(ArchiveError, match=r"exactly two zero blocks|not a bundle's header"):
        read_archive(theirs)
    # Device numbers are the only header fields in which the two writers may differ; POSIX leaves them undefined.
    start = ours[:329]
    assert theirs[:148] == start[:148]
    assert theirs[156:329] == start[156:]


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": b"0000755\0"},
        {"mode": b"0004644\0"},
        {"uid": b"0001750\0"},
        {"mtime": b"00000000001\0"},
        {"type": b"\0"},
        {"type": b"1"},
        {"type": b"2", "link": b"/etc/passwd"},
        {"type": b"5"},
        {"type": b"x"},
        {"type": b"L"},
        {"magic": b"ustar  \0"},
        {"magic": b"\0" * 8},
        {"user": b"root"},
        {"prefix": b"dir"},
        {"pad": b"x"},
        {"name": b"/undle.json"},
        {"name": b"..ndle.json"},
        {"name": b"bundle.json\0x"},
        {"name": b"bundle\xffjson"},
        {"name": b"./ndle.json"},
        {"size": b"00000000002 "},
        {"size": b"         2 \0"},
        {"size": b"+0000000002\0"},
        {"size": b"\x80" + b"\0" * 10 + b"\x02"},
        {"size": b"77777777777\0"},
        {"size": b"00000001001\0"},
    ],
)
def test_other_headers_are_refused(changes):
    archive = write_archive(HEAD)
    assert with_header(archive, 0) == archive
    with pytest.raises(ArchiveError):
        read_archive(with_header(archive, 0, **changes))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "bundle.json: is missing"),
        ({"bundle.json": b""}, "bundle.dsse.json: is missing"),
        ({"bundle.dsse.json": b"", "bundle.json": b""}, "in the place of bundle.json"),
        ({"bundle.json": b"", "model.onnx": b""}, "in the place of bundle.dsse.json"),
        (HEAD | {"../a": b""}, "not allowed"),
        (HEAD | {"a/b": b""}, "not allowed"),
        (HEAD | {".a": b""}, "not allowed"),
        (HEAD | {"": b""}, "not allowed"),
        (HEAD | {"a" * 101: b""}, "not allowed"),
        (HEAD | {"a\n": b""}, "not allowed"),
        (HEAD | {"ä": b""}, "not allowed"),
        (HEAD | {"a": b"", "A": b""}, "only in case"),
        (HEAD | {"Bundle.json": b""}, "only in case"),
        (HEAD | {f"f{n}": b"" for n in range(63)}, "f62: is one more than 64"),
        (HEAD | {"bundle.json": bytes(MAX_MANIFEST_BYTES + 1)}, "bundle.json: has"),
        (HEAD | {"bundle.dsse.json": bytes(MAX_ENVELOPE_BYTES + 1)}, "bundle.dsse.json: has"),
        (HEAD | {"a": bytes(MAX_BUNDLE_BYTES - 3 * BLOCK)}, "larger than"),
    ],
)
def test_writer_refuses(files, message):
    with pytest.raises(ArchiveError, match=message):
        write_archive(files)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([("a", b"1"), ("a", b"2")], "there twice"),
        ([("a", b"1"), ("A", b"2")], "only in case"),
        ([("bundle.json", b"{}")], "there twice"),
        ([(f"f{n}", b"") for n in range(63)], "f62: is one more than 64"),
        ([("../a", b"")], "header"),
        ([("a" * 100, b""), ("b", b"\0" * 512)], None),
    ],
)
def test_reader_refuses_what_the_writer_would(more, message):
    raw = raw_archive([*HEAD.items(), *more])
    if message is None:
        assert read_archive(raw) == HEAD | dict(more)
    else:
        with pytest.raises(ArchiveError, match=message):
            read_archive(raw)


def test_sixty_four_files_are_allowed():
    files = HEAD | {f"f{n}": b"" for n in range(62)}
    assert read_archive(write_archive(files)) == files


def test_order_and_presence_of_the_first_two():
    for members in ([], [("bundle.json", b"")], [("bundle.dsse.json", b""), ("bundle.json", b"")], [("a", b"")]):
        with pytest.raises(ArchiveError):
            read_archive(raw_archive(members))


def test_nothing_at_all():
    with pytest.raises(ArchiveError, match=r"^it is empty$"):
        read_archive(b"")


def test_every_truncation_and_any_appended_byte():
    archive = write_archive(SMALL)
    for length in range(len(archive)):
        with pytest.raises(ArchiveError):
            read_archive(archive[:length])
    for more in (b"\0", b"x", bytes(BLOCK), bytes(BLOCK * 2), archive):
        with pytest.raises(ArchiveError, match="exactly two zero blocks"):
            read_archive(archive + more)


def test_truncation_is_named():
    archive = write_archive(SMALL)
    with pytest.raises(ArchiveError, match=r"^model\.onnx: the archive ends within this file"):
        read_archive(archive[: archive.index(b"x" * 700) + 600])
    with pytest.raises(ArchiveError, match=r"^member 1: the archive ends within its header"):
        read_archive(archive[: 2 * BLOCK + 100])


@given(st.binary(max_size=3000))
def test_garbage(raw):
    with pytest.raises(ArchiveError):
        read_archive(raw)


@given(st.data())
def test_any_change_reads_as_other_files_or_not_at_all(data):
    archive = write_archive(SMALL)
    position = data.draw(st.integers(0, len(archive) - 1))
    value = data.draw(st.integers(0, 255))
    changed = archive[:position] + bytes([value]) + archive[position + 1 :]
    try:
        files = read_archive(changed)
    except ArchiveError:
        return
    assert write_archive(files) == changed  # one set of files, one archive


def test_file(tmp_path):
    path = tmp_path / "bundle.tar"
    path.write_bytes(write_archive(SMALL))
    assert read_archive_file(path) == SMALL


def test_file_that_is_none(tmp_path):
    (tmp_path / "real.tar").write_bytes(write_archive(SMALL))
    (tmp_path / "link.tar").symlink_to("real.tar")
    os.mkfifo(tmp_path / "fifo.tar")
    with (tmp_path / "large.tar").open("wb") as file:
        file.truncate(MAX_BUNDLE_BYTES + 1)
    for name, message in {
        "link.tar": "symbolic link",
        "fifo.tar": "regular",
        "large.tar": "more than",
        "no.tar": "No such file",
        ".": "regular",
    }.items():
        with pytest.raises(ArchiveError, match=message) as error:
            read_archive_file(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)


def blocks(raw: bytes, piece: int) -> Tape:
    return Tape(raw[start : start + piece] for start in range(0, len(raw), piece))


@pytest.mark.parametrize("piece", [1, 7, 511, 512, 513, 4096])
def test_a_stream_may_give_less_than_it_was_asked_for(piece):
    reader = ArchiveReader(blocks(write_archive(SMALL), piece))
    assert {member.name: reader.content() for member in reader} == SMALL
    with pytest.raises(ArchiveError, match="ends within this file"):
        list_all(blocks(write_archive(SMALL)[:2000], piece))


def list_all(stream: Tape) -> dict[str, bytes]:
    reader = ArchiveReader(stream)
    return {member.name: reader.content() for member in reader}


def test_a_header_is_judged_before_anything_behind_it_is_read():
    archive = write_archive(SMALL)
    tape = Tape(archive)
    reader = ArchiveReader(tape)
    position = 0
    for member in reader:
        position += BLOCK
        assert (tape.taken, member.size) == (position, len(SMALL[member.name]))
        assert reader.content() == SMALL[member.name]
        position += archive_size([member.size]) - BLOCK - 2 * BLOCK
        assert tape.taken == position
    assert tape.taken == len(archive)


def test_one_byte_behind_the_end_is_enough():
    tape = Tape(write_archive(SMALL), iter(lambda: bytes(BLOCK), None))
    with pytest.raises(ArchiveError, match="exactly two zero blocks"):
        list_all(tape)
    assert tape.taken == len(write_archive(SMALL)) + 1


def test_contents_can_not_be_skipped_or_read_twice():
    reader = ArchiveReader(Tape(write_archive(SMALL)))
    with pytest.raises(RuntimeError, match="no content"):
        reader.content()
    member = next(reader)
    assert (member.name, member.size) == ("bundle.json", 2)
    with pytest.raises(RuntimeError, match=r"content of bundle\.json was not read"):
        next(reader)
    assert reader.content() == b"{}"
    with pytest.raises(RuntimeError, match="no content"):
        reader.content()


def test_a_stream_that_fails():
    def failing(error):
        yield write_archive(SMALL)[:700]
        raise error

    for error, reason in ((OSError(5, "Input/output error"), "Input/output error"), (OSError("odd"), "odd")):
        with pytest.raises(ArchiveError, match=f"^the archive can't be read: {reason}$"):
            list_all(Tape(failing(error)))


def test_a_stream_that_does_not_wait():
    class Impatient:
        def read(self, size: int, /) -> bytes | None:
            return None

    with pytest.raises(ArchiveError, match="nothing to read yet"):
        next(ArchiveReader(Impatient()))


def test_size():
    for files in (HEAD, SMALL):
        assert archive_size(map(len, files.values())) == len(write_archive(files))
