"""Create the database, add two jobs, and look at the result."""

from shop.database import engine, make_session
from shop.models import Base, User

from jobd.client import JobFailed, Queue

Base.metadata.create_all(engine)
with make_session.begin() as session:
    session.merge(User(id=7, email="ada@example.org", greetings=0))

with Queue("greetings") as queue:
    print(queue.add("greet", {"userId": 7}).wait(30))
    try:
        queue.add("greet", {"userId": 7, "fails": True}).wait(30)
    except JobFailed as failed:
        print(failed.reason)

with make_session() as session:
    print(f"greetings: {session.get_one(User, 7).greetings}")
