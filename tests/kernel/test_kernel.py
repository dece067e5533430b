"""Real kernels, made to break: what our probes say of it, live and after the next boot."""

import re
import shutil
import struct
import uuid

import pytest

from support.kernel_machine import FIRMWARE

short = pytest.mark.short


def field(payload, name):
    found = re.search(rf"^{name} ?: (.*)$", payload, re.M)
    return found[1] if found else ""


def kinds(output):
    """Kind and function to blame of each record."""
    return [(headers["classification"].removeprefix("org.clearlinux/kernel/"), field(payload, "Guilty"))
            for headers, payload in output.records()]


def check(output):
    assert output.has_ended, f"{output.text}\n{output.console[-4000:]}"
    for headers, payload in output.records():
        assert payload.startswith("Crash Report:\nReason: "), payload
        assert headers["kernel_version"].startswith("6.")


# ---- live ----------------------------------------------------------------------------------------

QUICK = [
    ("warn", "warning", "breaker_warn", r"WARNING: CPU: \d PID: \d+ at breaker\.c:\d+ breaker_warn\+.*"),
    ("null", "bug", "breaker_null", r"BUG: kernel NULL pointer dereference, address: 0{15}8"),
    ("gpf", "bug", "breaker_gpf", r"general protection fault, probably for non-canonical address 0xdead.*"),
    ("bug", "bug", "breaker_bug", r"kernel BUG at breaker\.c:\d+!"),
    ("divide", "bug", "breaker_divide", r"divide error: 0000 .*"),
    ("opcode", "bug", "breaker_opcode", r"invalid opcode: 0000 .*"),
    # Where it jumped to is no function; who called it is.
    ("jump", "bug", "breaker_write", r"BUG: kernel NULL pointer dereference, address: 0{14}10"),
    ("refcount", "warning", "breaker_refcount", r"WARNING: .* refcount_warn_saturate.*"),
    ("list", "bug", "breaker_list", r"kernel BUG at lib/list_debug\.c:\d+!"),
]


@pytest.fixture(scope="module")
def quick(make_kernel_machine):
    """One boot in which everything breaks that the kernel goes on after."""
    ways = " ".join(way for way, *_ in QUICK)
    output = make_kernel_machine().run(f"""
        start_telemd
        klogscanner &
        for way in {ways}; do break_kernel $way; done
        # What any process can write there.
        echo '<1>BUG: kernel NULL pointer dereference, address: 0000000000000666' > /dev/kmsg
        echo '<1>RIP: 0010:forged+0x1/0x2' > /dev/kmsg
        wait_for has_records 10
        show_records
        show_log
        """)
    check(output)
    return output


@short
@pytest.mark.parametrize("way, kind, guilty, reason", QUICK, ids=[way for way, *_ in QUICK])
def test_a_kernel_that_goes_on_is_reported_live(quick, way, kind, guilty, reason):
    found = [payload for headers, payload in quick.records()
             if headers["classification"] == f"org.clearlinux/kernel/{kind}"
             and field(payload, "Guilty") == guilty]
    # A refcount that is dropped and taken again is two mistakes.
    assert len(found) == (2 if way == "refcount" else 1), kinds(quick)
    assert re.fullmatch(reason, field(found[0], "Reason")), found[0]
    assert "breaker" in field(found[0], "Modules")


@short
def test_nothing_else_is_reported_and_nobody_is_named(quick):
    assert "address: 0000000000000666" in quick.log(), "it was written"
    assert len(quick.records()) == 1 + len(QUICK), kinds(quick)
    assert "zaphod" not in "".join(payload for _, payload in quick.records())


def test_hangs_and_lack_of_memory_are_reported_live(make_kernel_machine):
    output = make_kernel_machine().run("""
        echo 5 > /proc/sys/kernel/hung_task_timeout_secs
        echo 1 > /proc/sys/kernel/hung_task_warnings
        echo 2 > /proc/sys/kernel/watchdog_thresh
        start_telemd
        klogscanner &
        break_kernel hung
        break_kernel soft
        wait_for has_record_of "^Reason: .*soft lockup"
        wait_for has_record_of "^Reason: .*blocked for more"
        sh -c 'exec tail /dev/zero'
        wait_for has_record_of "^classification: .*/oom"
        show_records
        """)
    check(output)
    found = kinds(output)
    assert found.count(("hang", "breaker_hung")) == 1
    # As often as the kernel says so: it stays stuck.
    assert found.count(("hang", "breaker_soft")) >= 1
    assert [kind for kind, _ in found].count("oom") == 1
    assert {pair for pair in found if pair[0] != "oom"} == {("hang", "breaker_hung"),
                                                            ("hang", "breaker_soft")}


def test_a_restarted_klogscanner_repeats_nothing(make_kernel_machine):
    output = make_kernel_machine().run("""
        start_telemd
        klogscanner &
        scanner=$!
        break_kernel null
        wait_for has_records 1
        kill -9 $scanner
        break_kernel gpf
        klogscanner &
        wait_for has_records 2
        break_kernel warn
        wait_for has_records 3
        show_records
        """)
    check(output)
    assert sorted(kinds(output)) == [
        ("bug", "breaker_gpf"), ("bug", "breaker_null"), ("warning", "breaker_warn")]


def test_what_the_kernel_overwrote_is_said_and_what_is_left_is_reported(make_kernel_machine):
    output = make_kernel_machine().run("""
        echo on > /proc/sys/kernel/printk_devkmsg
        start_telemd
        klogscanner > /tmp/said 2>&1 &
        scanner=$!
        break_kernel warn
        wait_for has_records 1
        kill -STOP $scanner
        break_kernel null
        # 128 KiB of lines and 4,096 of them are all that the kernel keeps. At level 7 none goes to the
        # console.
        n=0
        while [ $n -lt 6000 ]; do echo "<15>a line that nobody needs $n"; n=$((n + 1)); done > /dev/kmsg
        break_kernel gpf
        kill -CONT $scanner
        wait_for has_records 2
        show_records
        show_file /tmp/said
        """)
    check(output)
    # The one between was overwritten with all else; nobody can report it.
    assert sorted(kinds(output)) == [("bug", "breaker_gpf"), ("warning", "breaker_warn")]
    said = output.files()["/tmp/said"].decode()
    lost = re.search(r"(\d+) lines of the kernel's log were overwritten before they could be read", said)
    assert lost and int(lost[1]) > 1000, said


# ---- after the next boot -------------------------------------------------------------------------

# A kernel that breaks, goes on, breaks once more, and dies.
DIE_AT_LAST = """
    break_kernel null
    break_kernel gpf
    break_kernel panic
    """

REPORT = """
    start_telemd
    pstoreclean
    pstoreprobe
    show_records
    echo "left: $(ls /sys/fs/pstore /var/cache/telemetry/pstore | grep -c dmesg)"
    echo "records: $(count_records)"
    pstoreprobe
    echo "records then: $(count_records)"
    """

PANIC = ("panic", "Kernel panic - not syncing: breaker: as it was told")


def check_reports(output, wanted):
    """Kind and reason of each, and that nothing is left, or sent twice."""
    check(output)
    found = [(headers["classification"].removeprefix("org.clearlinux/kernel/"),
              field(payload, "Reason"), field(payload, "Guilty"))
             for headers, payload in output.records()]
    assert sorted(found) == sorted(wanted), output.text
    assert "left: 0" in output.text, "evidence that was sent is still there"
    assert f"records then: {len(wanted)}\n" in output.text, "what was sent was sent again"


def check_three_reports(output):
    check_reports(output, [
        ("bug", "BUG: kernel NULL pointer dereference, address: 0000000000000008", "breaker_null"),
        ("bug", "general protection fault, probably for non-canonical address 0xdead000000000100: "
                "0000 [#2] PREEMPT SMP NOPTI", "breaker_gpf"),
        # A kernel that has had an oops prints no stack when it dies.
        (*PANIC, "")])


@pytest.fixture
def machine_with_erst(kernel_machine_of):
    machine = kernel_machine_of("pstoreclean", "pstoreprobe")
    store = machine.folder / "erst"
    # Records of 8 KiB, two or three of them a dump.
    store.write_bytes(bytes(256 * 1024))
    machine.devices = ["-object", f"memory-backend-file,id=erst,mem-path={store},size=256K,share=on",
                       "-device", "acpi-erst,memdev=erst"]
    return machine


def test_erst_keeps_what_a_dying_kernel_said(machine_with_erst):
    assert not machine_with_erst.run("break_kernel panic").has_ended
    check_reports(machine_with_erst.run(REPORT), [(*PANIC, "breaker_panic")])


def test_erst_keeps_several_crashes_of_one_boot(machine_with_erst):
    assert not machine_with_erst.run(DIE_AT_LAST).has_ended
    check_three_reports(machine_with_erst.run(REPORT))


def test_ramoops_keeps_what_a_dying_kernel_said(kernel_machine_of):
    machine = kernel_machine_of("pstoreclean", "pstoreprobe")
    machine.add_module("reed_solomon")
    machine.add_module("ramoops")
    # A megabyte of the memory that nobody else uses, and that stays over a reboot.
    machine.kernel_arguments = ["memmap=1M$0x1e000000"]
    check_three_reports(machine.run(f"""
        insmod /reed_solomon.ko
        insmod /ramoops.ko mem_address=0x1e000000 mem_size=0x100000 record_size=0x10000 \
            console_size=0x10000
        if [ -e /sys/fs/pstore/dmesg-ramoops-0 ]; then
          {REPORT}
        else
          {DIE_AT_LAST}
        fi
        """, reboots=True))


def test_efi_keeps_what_a_dying_kernel_said(kernel_machine_of):
    if not (FIRMWARE / "OVMF_CODE.fd").exists():
        pytest.skip("no OVMF on this machine, whose EFI variables would keep it")
    machine = kernel_machine_of("pstoreclean", "pstoreprobe")
    variables = machine.folder / "variables"
    shutil.copy(FIRMWARE / "OVMF_VARS.fd", variables)
    machine.devices = [
        "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE.fd",
        "-drive", f"if=pflash,format=raw,file={variables}"]
    machine.add_module("efi-pstore")
    load = "insmod /efi-pstore.ko pstore_disable=0\n"
    assert not machine.run(load + DIE_AT_LAST).has_ended
    check_three_reports(machine.run(load + REPORT))


# ---- what the firmware has to say ----------------------------------------------------------------

MEMORY_ERROR = uuid.UUID("a5bc1114-6f64-4ede-b863-3e83ed7c83b1")


def error_status_block():
    """ACPI 6.4, 18.3.2.7: a fatal memory error with its physical address (UEFI 2.9, N.2.5)."""
    section = struct.pack("<QQQQ", 0x2, 0, 0x12345678000, 0xfffffffffffff000) + bytes(48)
    entry = MEMORY_ERROR.bytes_le + struct.pack("<IHBBI16s20sQ", 1, 0x300, 0, 0, len(section), b"", b"", 0)
    data = entry + section
    return struct.pack("<IIIII", 0x12, 0, 0, len(data), 1) + data


def test_a_firmware_error_of_the_last_boot_is_reported_once(kernel_machine_of):
    machine = kernel_machine_of("bertprobe")
    table, region = machine.folder / "bert.acpi", machine.folder / "bert.bin"
    table.write_bytes(struct.pack("<IQ", 4096, 0x1e000000))
    region.write_bytes(error_status_block())
    machine.kernel_arguments = ["memmap=64K$0x1e000000"]
    machine.devices = [
        "-acpitable", f"sig=BERT,rev=1,oem_id=TEST,oem_table_id=TEST,data={table}",
        "-device", f"loader,file={region},addr=0x1e000000,force-raw=on"]
    output = machine.run("""
        start_telemd
        bertprobe
        bertprobe
        show_records
        """)
    assert output.has_ended, f"{output.text}\n{output.console[-4000:]}"
    [(headers, payload)] = output.records()
    assert (headers["classification"], headers["severity"]) == ("org.clearlinux/bert/debug", "2")
    assert "0x12345678000" in payload.lower()
