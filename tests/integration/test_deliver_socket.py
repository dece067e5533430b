"""telem-deliver behind a socket of its own, as telem-deliver.socket has it."""

import stat

from support.certificates import Authority
from support.frames import TAKEN_OVER, frame, sample_headers
from support.http_sink import HANG, Answer
from support.machine import NOBODY, effective_user
from support.marks import needs_root
from support.proc import children
from support.service_manager import listen
from support.tls_server import tls_server
from support.waiting import stays, wait_until


def deliver_socket(machine):
    return machine.socket.parent / "deliver"


def test_where_somebody_listens_telemd_starts_nothing_itself(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.give_telem_deliver_a_socket()
    machine.start()
    assert machine.send() == TAKEN_OVER
    sink.wait_for(1)
    assert children(machine.process.pid) == []
    assert machine.deliver_unit.started() == 1
    machine.wait_for(delivered=1, waiting=0)


def test_a_socket_that_nobody_listens_on_is_no_hindrance(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.give_telem_deliver_a_socket()
    machine.deliver_unit.stop_listening()
    machine.start()
    assert stat.S_ISSOCK(deliver_socket(machine).stat().st_mode)
    assert machine.send() == TAKEN_OVER
    sink.wait_for(1)
    machine.wait_for(delivered=1, waiting=0)


def test_a_socket_that_comes_later_is_used(make_machine, sink):
    machine = make_machine(server=sink.url).start()
    assert machine.send() == TAKEN_OVER
    sink.wait_for(1)
    machine.give_telem_deliver_a_socket()
    wait_until(lambda: not children(machine.process.pid), what="the child gone")
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=2, waiting=0)
    assert machine.deliver_unit.started() == 1


# Whoever binds the socket first would get every record of the machine.
@needs_root
def test_an_ordinary_user_who_listens_there_gets_nothing(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.socket.parent.chmod(0o777)
    with effective_user(NOBODY):
        impostor = listen(deliver_socket(machine))
    machine.start()
    assert machine.send(b"secret") == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    status = machine.status()
    assert f"user {NOBODY} listens there" in status["last_error"]
    assert (status["waiting"], status["under_way"]) == (1, 0)
    impostor.settimeout(0)
    connection, _ = impostor.accept()
    with connection:
        assert connection.recv(1) == b"", "bytes for a stranger"
    impostor.close()
    assert not sink.requests


def test_a_manager_that_closes_each_connection_costs_no_record(make_machine, sink):
    machine = make_machine(server=sink.url)
    listener = listen(deliver_socket(machine))
    machine.start()
    assert machine.send() == TAKEN_OVER
    for _ in range(2):
        listener.accept()[0].close()
    wait_until(lambda: machine.status()["last_error"])
    machine.wait_for(waiting=1)
    # The old name must not be found while the new one is not there yet.
    listener.close()
    deliver_socket(machine).unlink()
    machine.give_telem_deliver_a_socket()
    machine.reload()
    machine.wait_for(delivered=1, waiting=0)


def test_ten_are_under_way_at_most_and_the_settings_come_first(make_machine):
    machine = make_machine(server="http://127.0.0.1:1/", tidheader="X-Some: thing")
    listener = listen(deliver_socket(machine))
    machine.start()
    with machine.connect() as sender:
        sender.send(b"".join(frame(sample_headers(), b"x") for _ in range(30)))
        assert sender.read_statuses(30) == [TAKEN_OVER] * 30
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        settings = stream.readline()
        assert b'"server":"http://127.0.0.1:1/"' in settings.replace(b'": "', b'":"')
        assert b"X-Some: thing" in settings
        ids = [take_record(stream) for _ in range(10)]
        machine.wait_for(under_way=10)
        for record_id in ids:
            connection.sendall(record_id + b" accepted 201 0 \n")
        ids += [take_record(stream) for _ in range(10)]
        assert len(set(ids)) == 20
        machine.wait_for(under_way=10, delivered=10)


def take_record(stream):
    """Reads one record of the stream; its id."""
    record_id = stream.read(32)
    size = int.from_bytes(stream.read(4), "little")
    stream.read(4 + size)
    return record_id


def test_opting_out_ends_a_telem_deliver_that_is_no_child(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url)
    machine.give_telem_deliver_a_socket()
    machine.start()
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: sink.hanging > 0)
    assert machine.deliverers()
    machine.opt_out()
    wait_until(lambda: not machine.deliverers(), what="telem-deliver gone")
    wait_until(lambda: sink.hanging == 0)
    assert sink.cut == 1
    assert stays(lambda: machine.deliver_unit.started() == 1, 0.3)


def test_telemd_killed_takes_its_telem_deliver_along(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url)
    machine.give_telem_deliver_a_socket()
    machine.start()
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: sink.hanging > 0)
    machine.kill()
    wait_until(lambda: not machine.deliverers(), what="telem-deliver gone")
    sink.answer = Answer()
    machine.start()
    machine.wait_for(delivered=1, waiting=0)


# Under systemd telem-deliver is a user who can read no key; the unit hands it over.
@needs_root
def test_a_key_that_only_root_can_read_comes_from_the_service_manager(make_machine, folder):
    authority = Authority(folder)
    cert, key = authority.issue("client")
    key.chmod(0o600)
    for public in (authority.cert, cert):
        public.chmod(0o644)
    credentials = folder / "credentials"
    credentials.mkdir(0o755)
    with tls_server(*authority.issue("server"), client_ca=authority.cert) as (server, url):
        machine = make_machine(server=url, cainfo=authority.cert, clientcert=cert, clientkey=key)
        machine.give_telem_deliver_a_socket(CREDENTIALS_DIRECTORY=str(credentials))
        machine.start()
        assert machine.send(b"1") == TAKEN_OVER
        # The file itself is root's.
        wait_until(lambda: machine.status()["last_error"])
        (credentials / "clientkey").write_bytes(key.read_bytes())
        wait_until(lambda: not machine.deliverers(), what="telem-deliver gone")
        machine.reload()
        machine.wait_for(delivered=1, waiting=0)
    assert server.bodies == [b"1"]
