import time

from celery import shared_task
from django.db import IntegrityError, connection, transaction

from library.models import Book, Novel

#: What happened, in order.
told = []


@shared_task
def tell(what):
    told.append(what)
    return what


@shared_task
def tell_on_commit(what):
    tell.delay_on_commit(what)
    told.append("registered")


@shared_task
def tell_within(what, *, fails=False, seconds=0, **options):
    with transaction.atomic(**options):
        with transaction.atomic():
            Book.objects.create(title=what)
            transaction.on_commit(lambda: told.append(f"{what} committed"))
            tell.delay_on_commit(what)
        told.append(f"{what} written")
        time.sleep(seconds)
        if fails:
            raise ValueError(what)
    told.append(f"{what} done")


@shared_task
def add(title):
    Book.objects.create(title=title)


@shared_task
def add_novel(title):
    Novel.objects.create(title=title, author="?")


@shared_task
def add_or_not(title, *, novel=False):
    """Try, and go on whatever happens."""
    try:
        (add_novel if novel else add).run(title)
    except IntegrityError:
        return Book.objects.count()
    return "added"


@shared_task
def titles():
    return sorted(Book.objects.values_list("title", flat=True))


@shared_task
def find(title):
    return Book.objects.get(title=title).pk


@shared_task
def wait_inside(title):
    """Wait, within a transaction, for one who needs another."""
    from celery.result import allow_join_result

    with transaction.atomic(), allow_join_result():
        Book.objects.create(title=title)
        return add.delay(f"{title}, too").get()


@shared_task
def connection_of_task():
    return id(connection.connection) if connection.connection is not None else None
