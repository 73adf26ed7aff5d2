from django.db import models


class Book(models.Model):
    """A title, once."""

    title = models.CharField(max_length=50, unique=True)


class Novel(Book):
    """Of several tables: Django saves it in an `atomic(savepoint=False)`."""

    author = models.CharField(max_length=50)
