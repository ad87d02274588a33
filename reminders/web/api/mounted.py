"""The API as one application, to be mounted at /api."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from reminders.service import AppContext
from reminders.web.api import manual, patients, plans, problems, sites, tasks, texts, visits

ROUTERS = (plans.router, patients.router, visits.router, texts.router, tasks.router, sites.router)


def create(context: AppContext) -> FastAPI:
    """The API on `context`, to be mounted at /api."""
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    api.state.context, api.state.routers = context, ROUTERS
    for kind in (HTTPException, RequestValidationError, Exception):
        api.add_exception_handler(kind, problems.refuse)
    for router in ROUTERS:
        api.include_router(router, prefix="/v1")
    api.include_router(manual.router)
    api.mount("/static", StaticFiles(packages=[("fastapi_offline", "static")]))
    return api
