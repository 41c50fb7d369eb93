"""The archive has one form, which other tars read and this reader insists on."""

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle.archive import BLOCK, read_archive, read_archive_file, write_archive
from cogd.bundle.members import MAX_BUNDLE_BYTES, MAX_ENVELOPE_BYTES, MAX_MANIFEST_BYTES
from cogd.errors import ArchiveError

HEAD = {"bundle.json": b"{}", "bundle.dsse.json": b"{}"}
SMALL = HEAD | {"a": b"", "model.onnx": b"x" * 700, "b" * 100: b"y" * 512}

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
contents = st.dictionaries(names, st.binary(max_size=1100), max_size=5)


def with_header(archive: bytes, position: int, **changes: bytes) -> bytes:
    """`archive` with fields of the header at `position` replaced and a right checksum."""
    where = {"name": 0, "mode": 100, "uid": 108, "size": 124, "mtime": 136, "type": 156, "link": 157}
    where |= {"magic": 257, "user": 265, "prefix": 345, "pad": 500}
    header = bytearray(archive[position : position + BLOCK])
    for field, value in changes.items():
        header[where[field] : where[field] + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return archive[:position] + bytes(header) + archive[position + BLOCK :]


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


def raw_archive(members: list[tuple[str, bytes]]) -> bytes:
    """What `write_archive` would write if it checked nothing."""
    from cogd.bundle.archive import _header

    return b"".join(_header(n, len(d)) + d + bytes(-len(d) % BLOCK) for n, d in members) + bytes(2 * BLOCK)


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


def test_too_large_before_reading_anything():
    with pytest.raises(ArchiveError, match="more than 67108864"):
        read_archive(bytes(MAX_BUNDLE_BYTES + 1))


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


def test_file_swapped_after_it_was_opened(tmp_path, monkeypatch):
    path = tmp_path / "bundle.tar"
    path.write_bytes(write_archive(SMALL))
    evil = tmp_path / "evil"
    evil.write_bytes(write_archive(HEAD))
    real = os.fstat

    def swap(fd):
        evil.replace(path)
        return real(fd)

    with monkeypatch.context() as patch:  # pytest uses fstat too
        patch.setattr("cogd.bundle.regular.os.fstat", swap)
        assert read_archive_file(path) == SMALL
    assert path.read_bytes() == write_archive(HEAD)
