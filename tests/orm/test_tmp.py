import pytest
from django.db import connection
from cachekit import CachedManager
from tests.orm.world import *
from tests.zoo.models import *
pytestmark = pytest.mark.django_db(transaction=True)
def man(model, rows=True):
    m=CachedManager(rows=rows); m.model=model; m.name="kept"; return m
def test_x(django_assert_num_queries):
    populate()
    k=man(Book)
    a=k.get(pk=ONE)
    b=Book.objects.get(pk=ONE)
    assert vars(a).keys()==vars(b).keys()
    assert {x:y for x,y in vars(a).items() if x!="_state"}=={x:y for x,y in vars(b).items() if x!="_state"}
    with django_assert_num_queries(0):
        c=k.get(pk=ONE); d=k.all().get(id=ONE)
    assert c is not a and c==b and c._state.db==b._state.db and c.price==b.price, type(c.price) is type(b.price)
    Book.objects.filter(pk=ONE).update(title="x")
    assert k.get(pk=ONE).title=="x"
    Book.objects.filter(pk=TWO).update(title="y")
    with django_assert_num_queries(0):
        assert k.get(pk=ONE).title=="x"
    for _ in range(2):
        with pytest.raises(Book.DoesNotExist): k.get(pk=987654)
