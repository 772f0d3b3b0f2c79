from mlops_ray.serve.obituaries import Obituaries


class Register:
    """What the cluster says of one application."""

    def __init__(self, *says: int | None) -> None:
        self._says = list(says)

    def __call__(self, app: str) -> int | None:
        assert app == "toy-v2"
        return self._says.pop(0)


def test_only_who_died_since_the_opening_counts() -> None:
    book = Obituaries(Register(4, 4, 6))
    book.begin("toy-v2")
    assert [book.deaths("toy-v2"), book.deaths("toy-v2")] == [0, 2]


def test_after_a_restart_counting_begins_with_what_is_there() -> None:
    book = Obituaries(Register(4, 5))
    assert [book.deaths("toy-v2"), book.deaths("toy-v2")] == [0, 1]


def test_the_number_never_shrinks_whatever_the_cluster_says_or_forgets() -> None:
    book = Obituaries(Register(0, 2, None, 1, 3))
    book.begin("toy-v2")
    assert [book.deaths("toy-v2") for _ in range(4)] == [2, 2, 2, 3]


def test_an_opening_that_nobody_could_count_takes_the_first_number_for_it() -> None:
    book = Obituaries(Register(None, 4, 5))
    book.begin("toy-v2")
    assert [book.deaths("toy-v2"), book.deaths("toy-v2")] == [0, 1]


def test_replicas_that_failed_their_health_checks_are_counted_by_how_often_it_became_unhealthy() -> None:
    book = Obituaries(Register(0, 0, 0, 3))
    book.begin("toy-v2")
    for unhealthy in ({"toy-v2"}, {"toy-v2"}, set[str](), {"toy-v2"}):
        book.look(unhealthy)
    assert book.deaths("toy-v2") == 2
    book.look({"other"})
    assert [book.deaths("toy-v2"), book.deaths("toy-v2")] == [2, 3]


def test_an_application_that_is_opened_again_begins_anew() -> None:
    book = Obituaries(Register(0, 1, 1, 1))
    book.begin("toy-v2")
    book.look({"toy-v2"})
    assert book.deaths("toy-v2") == 1
    book.begin("toy-v2")
    assert book.deaths("toy-v2") == 0
