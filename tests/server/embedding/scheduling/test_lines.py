"""Which of a tenant's own pieces is next."""

from icecore.server.embedding.scheduling.lines import Lines
from icecore.server.embedding.scheduling.pieces import Piece, Priority, Stay
from waiting_pieces import piece


def call(
    lines: Lines, name: str, n: int, priority: Priority = Priority.INTERACTIVE, cost_ms: float = 1.0
) -> list[Piece]:
    """Put the pieces of one call in line: "a0", "a1" and so on."""
    stay = Stay(priority=priority)
    pieces = [
        piece(stay=stay, priority=priority, name=f"{name}{index}", cost_ms=cost_ms)
        for index in range(n)
    ]
    for one in pieces:
        lines.put(one)
    return pieces


def serve(lines: Lines, n: int | None = None) -> list[str]:
    order: list[str] = []
    while lines.n_waiting and (n is None or len(order) < n):
        one = lines.first()
        lines.serve(one)
        order.append(str(one.backbone))
    return order


def test_a_thousand_images_hold_up_one_by_one() -> None:
    lines = Lines()
    call(lines, "big", 1000)
    call(lines, "small", 1)
    assert serve(lines, 3) == ["big0", "small0", "big1"]
    assert serve(lines) == [f"big{index}" for index in range(2, 1000)]


def test_calls_of_equal_size_end_in_the_order_they_came() -> None:
    lines = Lines()
    for name in "abc":
        call(lines, name, 2)
    assert serve(lines) == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_interactive_goes_before_bulk() -> None:
    lines = Lines()
    call(lines, "bulk", 3, Priority.BULK, cost_ms=8.0)
    call(lines, "now", 3)
    assert serve(lines) == ["now0", "now1", "now2", "bulk0", "bulk1", "bulk2"]


def test_bulk_gets_an_eighth_of_what_interactive_takes_however_long_that_goes_on() -> None:
    lines = Lines()
    call(lines, "bulk", 300, Priority.BULK, cost_ms=2.0)
    call(lines, "now", 3000)
    order = serve(lines, 1000)
    n_bulk = sum(name.startswith("bulk") for name in order)
    assert abs(2 * n_bulk - (1000 - n_bulk) / 8) <= 2.0


def test_bulk_alone_saves_up_nothing() -> None:
    lines = Lines()
    call(lines, "bulk", 100, Priority.BULK)
    serve(lines, 50)
    call(lines, "now", 7)
    assert serve(lines, 7) == [f"now{index}" for index in range(7)]


def test_what_is_taken_out_is_passed_over_wherever_it_stands() -> None:
    lines = Lines()
    pieces = call(lines, "a", 5)
    call(lines, "b", 1)
    for index in (0, 2, 4):
        lines.drop(pieces[index])
    assert lines.n_waiting == 3
    assert [str(one.backbone) for one in lines] == ["a1", "a3", "b0"]
    assert serve(lines) == ["a1", "b0", "a3"]


def test_a_call_whose_last_image_is_taken_out_leaves_nothing() -> None:
    lines = Lines()
    for one in call(lines, "a", 5):
        lines.drop(one)
    assert lines.n_waiting == 0
    assert list(lines) == []
    call(lines, "b", 1)
    assert serve(lines) == ["b0"]
