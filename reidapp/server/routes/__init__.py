"""The REST API, a file for each noun: a route parses, calls what the commands call too, and answers."""

from fastapi import APIRouter

from reidapp.server.routes import (
    accounts,
    cameras,
    cases,
    erasures,
    footage,
    galleries,
    identities,
    jobs,
    log,
    models,
    queries,
    retention,
    saved_searches,
    search,
    storage,
    tracklets,
    videos,
)
from reidapp.server.routes._shared import PROBLEMS

NOUNS = (
    *(cameras, videos, tracklets, queries, search, saved_searches, identities, cases),
    *(footage, storage, retention, erasures, jobs, models),
)


def api_routes() -> APIRouter:
    """All nouns of the default gallery, and the same below ``/galleries/{gallery}`` of any."""
    nouns = APIRouter()
    for noun in NOUNS:
        nouns.include_router(noun.router)
    api = APIRouter(responses=PROBLEMS)
    for of_the_server in (galleries, accounts, log):
        api.include_router(of_the_server.router)
    api.include_router(nouns)
    api.include_router(nouns, prefix="/galleries/{gallery}", include_in_schema=False)
    return api
