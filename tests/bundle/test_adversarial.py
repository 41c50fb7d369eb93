"""Archives made to do harm: each is refused, soon, and with no more memory than was really sent."""

import bz2
import gzip
import io
import itertools
import lzma
import os
import tarfile
import threading
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from cogd.bundle.archive import BLOCK, ArchiveReader, archive_size, read_archive, read_archive_file, write_archive
from cogd.bundle.manifest import FileEntry, encode_manifest
from cogd.bundle.members import MAX_BUNDLE_BYTES, MAX_ENVELOPE_BYTES, MAX_MANIFEST_BYTES, MAX_MEMBERS
from cogd.bundle.receive import receive_bundle
from cogd.bundle.verify import verify_bundle
from cogd.errors import ArchiveError, BundleError, DigestError, SignatureError

from .archives import END, HEAD, Tape, memory, padded, raw_archive, with_header
from .factory import FILES, make_bundle, make_manifest, sign_anything, trust

MADE = make_bundle()
OTHER = make_bundle(version="1.2.4")
BIG = make_bundle(FILES | {"model.onnx": bytes(300_000)})
BIG_CHANGED = make_bundle(FILES | {"model.onnx": b"\1" * 300_000})
KIB = 1 << 10
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _soon():
    """No sender can keep us busy. Computing time is what counts: what else this machine does is not our fault."""
    before = time.process_time()
    yield
    assert time.process_time() - before < 10


def refuse(archive: bytes, match: str | None = None) -> None:
    """See that `archive` is refused by each way in, with no more memory than it has bytes and a little."""
    with memory() as used, pytest.raises(ArchiveError, match=match):
        read_archive(archive)
    assert used.peak < 2 * len(archive) + 300 * KIB
    with memory() as used, pytest.raises(BundleError):
        receive_bundle(io.BytesIO(archive), MADE.trust)
    assert used.peak < 2 * len(archive) + 300 * KIB


def read_all(stream: Tape) -> dict[str, bytes]:
    reader = ArchiveReader(stream)
    return {member.name: reader.content() for member in reader}


def behind_the_files(member: bytes) -> bytes:
    """A good, signed bundle, with the bytes of one more member before its end."""
    return MADE.archive[: -len(END)] + member + END


def member(name: str, data: bytes = b"", form: int = tarfile.USTAR_FORMAT, **fields: object) -> bytes:
    """A member as Python's tarfile writes it."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(form, "utf-8") + padded(data)


NOT_OURS = r"^member 6: its header is not a bundle's header$"
ONE_MORE = behind_the_files(raw_archive([("a", b"x")])[: -len(END)])
HERE = len(MADE.archive) - len(END)
"""Where the header of the one more is."""


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.AREGTYPE,
        tarfile.LNKTYPE,
        tarfile.SYMTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.GNUTYPE_SPARSE,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    ],
)
def test_kinds_of_members_that_are_no_file(kind):
    for name, link in [("a", "/etc/passwd"), ("model.onnx", "../../a"), ("a", "bundle.json"), ("a", "a"), ("a/", "")]:
        refuse(behind_the_files(member(name, type=kind, linkname=link)), NOT_OURS)


def test_no_other_kind_is_known():
    for kind in set(range(256)) - {ord("0")}:
        with pytest.raises(ArchiveError, match=NOT_OURS):
            read_archive(with_header(ONE_MORE, HERE, type=bytes([kind])))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "//a",
        "..",
        "../a",
        "a/../../b",
        "a/b",
        "./a",
        "a/",
        ".",
        "",
        " a",
        "-rf",
        "~a",
        "a\\b",
        "..\\a",
        "C:\\a",
        "C:a",
        "a\nb",
        "a\x1b[2J",
        "a\x7f",
        "ä",
        "а",  # Cyrillic  # noqa: RUF001
        "a\u202egpj",
        "a\u0301",
        "\ufeffa",
        "x" * 101,
    ],
)
def test_names(name):
    refuse(behind_the_files(member(name, b"x", tarfile.GNU_FORMAT)))
    raw = name.encode()[:100].ljust(100, b"\0")
    if len(name) <= 100:
        refuse(with_header(ONE_MORE, HERE, name=raw), NOT_OURS)


@pytest.mark.parametrize(
    "name", [b"a\0b", b"a\0/etc/passwd", b"\0a", b"a\0" + b"\0" * 97 + b"x", b"\xff", b"\xc0\xaf", b"\xe4"]
)
def test_bytes_in_names(name):
    refuse(with_header(ONE_MORE, HERE, name=name), NOT_OURS)


@pytest.mark.parametrize("name", ["model.onnx", "MODEL.ONNX", "Bundle.JSON", "bundle.dsse.json", "model_card.md"])
def test_names_that_are_there(name):
    refuse(behind_the_files(raw_archive([(name, b"x")])[: -len(END)]), f"^{name}: is there twice, or differs")


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (tarfile.PAX_FORMAT, {"pax_headers": {"path": "../a"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"size": "0"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"size": "-1"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"linkpath": "/etc/passwd"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"SCHILY.xattr.security.capability": "x"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"GNU.sparse.map": "0,9999999999", "GNU.sparse.size": "9999999999"}}),
        (tarfile.PAX_FORMAT, {"mtime": 0.5}),
        (tarfile.PAX_FORMAT, {"uname": "ä"}),
        (tarfile.GNU_FORMAT, {"type": tarfile.GNUTYPE_SPARSE}),
        (tarfile.GNU_FORMAT, {"linkname": "y" * 150, "type": tarfile.SYMTYPE}),
        (tarfile.GNU_FORMAT, {"mtime": -1}),
        (tarfile.GNU_FORMAT, {"uid": 1 << 40}),
        (tarfile.USTAR_FORMAT, {"mode": 0o4755}),
        (tarfile.USTAR_FORMAT, {"uid": 1000}),
        (tarfile.USTAR_FORMAT, {"uname": "root"}),
        (tarfile.USTAR_FORMAT, {"mtime": 1}),
        (tarfile.USTAR_FORMAT, {"devmajor": 1}),
    ],
)
def test_extensions(form, fields):
    refuse(behind_the_files(member("a", b"x", form, **fields)), "^member 6: ")


def test_a_global_header_before_everything():
    whole = io.BytesIO()
    with tarfile.open(
        fileobj=whole, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "a", "size": "0"}
    ) as tar:
        for name, data in MADE.members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    refuse(whole.getvalue(), "^member 0: ")


@pytest.mark.parametrize(
    "size",
    [
        b"\x80" + bytes(10) + b"\x01",  # base-256: 1
        b"\x80" + bytes(6) + b"\x02" + bytes(4),  # base-256: 8 GiB
        b"\xff" * 12,  # base-256: -1
        b"\xff" * 8 + b"\xfe\x00\0\0",  # base-256: back to the beginning, without an end (CVE-2025-8194)
        b"-0000000001\0",
        b"-1\0\0\0\0\0\0\0\0\0\0",
        b"00000000001 ",
        b"0000000001\0\0",
        b"          1\0",
        b"1" + b"\0" * 11,
        b"000000000012",  # twelve digits, no end
        b"777777777777",
        b"00000000008\0",
        b"0o000000001\0",
        b"0x000000001\0",
        b"0_000000001\0",
        b"0000000001\xb2\0",
        b"\0" * 12,
    ],
)
def test_forms_of_sizes(size):
    refuse(with_header(ONE_MORE, HERE, size=size), "^member 6: its size is not eleven octal digits")


LARGEST = MAX_BUNDLE_BYTES - 7 * BLOCK
"""What is left for one file in an archive of three, the first two of one block each."""


def promise(size: int) -> bytes:
    """The archive of an empty file whose header promises `size` bytes."""
    return with_header(raw_archive([*HEAD.items(), ("a", b"")]), 4 * BLOCK, size=b"%011o\0" % size)


@pytest.mark.parametrize("size", [(8 << 30) - 1, 1 << 32, (1 << 31) + 1, MAX_BUNDLE_BYTES + 1, LARGEST + 1])
def test_more_is_promised_than_is_allowed(size):
    tape = Tape(promise(size)[: 5 * BLOCK], itertools.repeat(bytes(BLOCK)))
    with memory() as used, pytest.raises(ArchiveError, match=r"^a: (has|makes the bundle larger)"):
        read_all(tape)
    assert used.peak < 100 * KIB
    assert tape.taken == 5 * BLOCK


@pytest.mark.parametrize("buffering", [0, -1])
def test_more_is_promised_than_comes(tmp_path, buffering):
    """It takes no memory before it comes, not even by reading, which makes room for what it asks for."""
    (tmp_path / "bundle.tar").write_bytes(promise(LARGEST))
    with (tmp_path / "bundle.tar").open("rb", buffering=buffering) as file:
        reader = ArchiveReader(file)
        members = [(next(reader), reader.content()) for _ in range(2)]
        member = next(reader)
        assert (member.name, member.size) == ("a", LARGEST)
        with memory() as used, pytest.raises(ArchiveError, match=r"^a: the archive ends within this file"):
            reader.content()
    assert used.peak < 200 * KIB
    assert [one.name for one, _ in members] == [*HEAD]


@pytest.mark.parametrize(
    ("before", "name", "limit"),
    [({}, "bundle.json", MAX_MANIFEST_BYTES), ({"bundle.json": b"{}"}, "bundle.dsse.json", MAX_ENVELOPE_BYTES)],
)
def test_sizes_of_the_head(before, name, limit):
    sent = raw_archive(before.items())[: -len(END)]
    header = with_header(raw_archive([(name, b"")]), 0, size=b"%011o\0" % (limit + 1))[:BLOCK]
    tape = Tape(sent, header, itertools.repeat(bytes(BLOCK)))
    with pytest.raises(ArchiveError, match=f"^{name}: has {limit + 1} bytes, more than {limit}"):
        receive_bundle(tape, MADE.trust)
    assert tape.taken == len(sent) + BLOCK


@pytest.mark.parametrize(
    "checksum",
    [
        "{:06o}\0\0",
        "{:06o} \0",
        "{:07o}\0",
        "{:07o} ",
        "{:08o}",
        "{:>6o}\0 ",
        "0\0\0\0\0\0\0\0",
        "        ",
        "\0\0\0\0\0\0\0\0",
        "-{:05o}\0 ",
        "+{:05o}\0 ",
    ],
)
def test_checksums(checksum):
    """Every other way to write the right number, and a few of the wrong one."""
    value = int(MADE.archive[148:154], 8)
    field = checksum.format(value).encode()
    assert len(field) == 8
    refuse(MADE.archive[:148] + field + MADE.archive[156:], "^member 0: its header")
    wrong = b"%06o\0 " % (value + 1)
    refuse(MADE.archive[:148] + wrong + MADE.archive[156:], "^member 0: its header")


@pytest.mark.parametrize(
    "more",
    [b"\0", b"\n", bytes(BLOCK), END, bytes(20 * BLOCK), MADE.archive, OTHER.archive, b"#!/bin/sh\n"],
)
def test_something_behind_the_end(more):
    refuse(MADE.archive + more, "exactly two zero blocks")


def test_something_between_the_two_blocks_of_the_end():
    body = MADE.archive[: -len(END)]
    for more in (raw_archive([("a", b"x")]), MADE.archive, bytes(BLOCK - 1) + b"x" + bytes(BLOCK)):
        refuse(body + bytes(BLOCK) + more, "exactly two zero blocks")
    refuse(body + bytes(BLOCK), "exactly two zero blocks")
    refuse(body, "exactly two zero blocks")


def test_other_tars_of_the_same_files():
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w", format=form) as tar:
            for name, data in MADE.members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        refuse(whole.getvalue(), "^member 0: its header")


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed(compress):
    refuse(compress(MADE.archive), "^member 0: ")
    refuse(compress(bytes(10 * MIB)), "^member 0: ")


def test_a_hundred_thousand_entries():
    tape = Tape(raw_archive(HEAD.items())[: -len(END)], (raw_archive([(f"f{n}", b"")])[:BLOCK] for n in range(100_000)))
    with memory() as used, pytest.raises(ArchiveError, match=f"^f{MAX_MEMBERS - 2}: is one more than {MAX_MEMBERS}"):
        read_all(tape)
    assert used.peak < 100 * KIB
    assert tape.taken == (2 + MAX_MEMBERS + 1) * BLOCK


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/urandom", "/dev/null"])
def test_devices(device):
    with pytest.raises(ArchiveError, match=f"^{device}: is not a regular file"):
        read_archive_file(device)
    for buffering in (0, -1):
        with Path(device).open("rb", buffering=buffering) as file, memory() as used, pytest.raises(ArchiveError):
            receive_bundle(file, MADE.trust)
        assert used.peak < 100 * KIB


def test_streams_without_end():
    for pieces in (
        [itertools.repeat(b"x" * 4096)],
        [MADE.archive[:BLOCK], itertools.repeat(b"x" * 4096)],
        [MADE.archive[: -len(END)], itertools.repeat(bytes(4096))],
        [MADE.archive[: -len(END)], itertools.repeat(raw_archive([("a", b"x" * 4096)])[: -len(END)])],
    ):
        tape = Tape(*pieces)
        with memory() as used, pytest.raises(BundleError):
            receive_bundle(tape, MADE.trust)
        assert used.peak < 300 * KIB
        assert tape.taken <= len(MADE.archive) + 1


def fifo(path):
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    os.set_blocking(reading, True)
    return os.fdopen(reading, "rb", buffering=0), writing


@pytest.mark.parametrize("sent", [0, 100, BLOCK, 5 * BLOCK + 7, len(MADE.archive) - BLOCK])
def test_a_fifo_that_is_cut(tmp_path, sent):
    reading, writing = fifo(tmp_path / "fifo")
    os.write(writing, MADE.archive[:sent])
    os.close(writing)
    with reading, pytest.raises(ArchiveError):
        receive_bundle(reading, MADE.trust)


def test_a_fifo_that_never_delivers(tmp_path):
    """Its reader waits, as it must, and holds nothing; it ends when the sender does."""
    reading, writing = fifo(tmp_path / "fifo")
    raised = []

    def receive():
        try:
            receive_bundle(reading, MADE.trust)
        except ArchiveError as error:
            raised.append(str(error))

    with memory() as used:
        thread = threading.Thread(target=receive)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
    assert used.peak < 200 * KIB
    os.close(writing)
    thread.join(1)
    assert raised == ["it is empty"]
    with pytest.raises(ArchiveError, match="is not a regular file"):  # by its name it is not even opened
        read_archive_file(tmp_path / "fifo")
    reading.close()


def test_a_stream_that_does_not_wait(tmp_path):
    reading, writing = fifo(tmp_path / "fifo")
    os.set_blocking(reading.fileno(), False)
    os.write(writing, MADE.archive[:700])
    with reading, pytest.raises(ArchiveError, match="nothing to read yet"):
        receive_bundle(reading, MADE.trust)
    os.close(writing)


def while_it_is_read(monkeypatch, change):
    """Has `change` called once, when the content of model.onnx is about to be read."""
    real = ArchiveReader.content

    def content(reader):
        if reader._unread.name == "model.onnx":
            monkeypatch.undo()
            change()
        return real(reader)

    monkeypatch.setattr(ArchiveReader, "content", content)


def test_another_file_in_its_place_after_it_was_looked_at(tmp_path, monkeypatch):
    path = MADE.save(tmp_path / "bundle.tar")
    evil = OTHER.save(tmp_path / "evil.tar")
    real = os.fstat

    def swap(fd):
        evil.replace(path)
        return real(fd)

    with monkeypatch.context() as patch:  # pytest uses fstat too
        patch.setattr("cogd.bundle.regular.os.fstat", swap)
        assert read_archive_file(path) == MADE.members
    assert path.read_bytes() == OTHER.archive


def test_another_file_in_its_place_while_it_is_read(tmp_path, monkeypatch):
    path = BIG.save(tmp_path / "bundle.tar")
    evil = BIG_CHANGED.save(tmp_path / "evil.tar")
    while_it_is_read(monkeypatch, lambda: evil.replace(path))
    assert read_archive_file(path) == BIG.members
    path.unlink()
    assert not path.exists()


def test_rewritten_in_place_while_it_is_read(tmp_path, monkeypatch):
    """Then it is a mixture, whose bytes are the ones that are verified."""
    path = BIG.save(tmp_path / "bundle.tar")

    def rewrite():
        with path.open("r+b") as file:
            file.write(BIG_CHANGED.archive)

    while_it_is_read(monkeypatch, rewrite)
    members = read_archive_file(path)
    assert members["bundle.json"] == BIG.members["bundle.json"]
    assert members["model.onnx"] != BIG.members["model.onnx"]
    with pytest.raises(DigestError, match=r"^model\.onnx: was changed, its SHA-256"):
        verify_bundle(members, BIG.trust)
    BIG.save(path)
    while_it_is_read(monkeypatch, rewrite)
    with path.open("rb") as file, pytest.raises(DigestError, match=r"^model\.onnx: was changed, its SHA-256"):
        receive_bundle(file, BIG.trust)


def test_cut_or_grown_while_it_is_read(tmp_path, monkeypatch):
    path = BIG.save(tmp_path / "bundle.tar")
    while_it_is_read(monkeypatch, lambda: os.truncate(path, 200_000))
    with pytest.raises(ArchiveError, match=r"^model\.onnx: the archive ends within this file"):
        read_archive_file(path)
    BIG.save(path)
    while_it_is_read(monkeypatch, lambda: os.truncate(path, len(BIG.archive) + 1))
    with pytest.raises(ArchiveError, match="exactly two zero blocks"):
        read_archive_file(path)


def test_the_head_of_one_and_the_files_of_another():
    mixed = {**MADE.members, "model.onnx": b"an0ther one"}
    with pytest.raises(DigestError):
        receive_bundle(io.BytesIO(write_archive(mixed)), trust())
    mixed = {**MADE.members, "bundle.json": OTHER.members["bundle.json"]}
    with pytest.raises(SignatureError):
        receive_bundle(io.BytesIO(write_archive(mixed)), trust())


def largest(count: int) -> Tape:
    """The largest bundle that is allowed, with `count` files that share what is left; made while it is read."""
    names = [f"part-{n:02}" for n in range(count)]
    sizes = dict.fromkeys(names, 0)
    while True:
        entries = [
            FileEntry(path=path, size=len(data), sha256=sha256(data).hexdigest()) for path, data in FILES.items()
        ] + [FileEntry(path=name, size=size, sha256=sha256(bytes(size)).hexdigest()) for name, size in sizes.items()]
        manifest = encode_manifest(msgspec.structs.replace(make_manifest(), files=entries))
        signed = sign_anything(manifest)
        left = MAX_BUNDLE_BYTES - archive_size([*map(len, signed.values()), *sizes.values()])
        if left == 0:
            break
        sizes = {name: size + left // count // BLOCK * BLOCK for name, size in sizes.items()}
        sizes[names[0]] += left % (count * BLOCK)
    zeros = bytes(BLOCK)
    return Tape(
        raw_archive(signed.items())[: -len(END)],
        itertools.chain.from_iterable(
            [with_header(raw_archive([(name, b"")]), 0, size=b"%011o\0" % size)[:BLOCK], *[zeros] * (size // BLOCK)]
            for name, size in sizes.items()
        ),
        END,
    )


@pytest.mark.parametrize("count", [1, 58])
def test_memory_of_the_largest_bundle(count):
    tape = largest(count)
    with memory() as used:
        bundle = receive_bundle(tape, trust())
    assert tape.taken == MAX_BUNDLE_BYTES
    assert MAX_BUNDLE_BYTES - 100 * KIB < sum(map(len, bundle.files.values())) < used.peak < 73 * MIB
