# backend.py
import os
import time
import uuid

import jwt
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

SECRET = os.environ["CHAT_SECRET"]  # the same as HOLDFAST_AUTH__SECRET of the instances
app = FastAPI()


@app.get("/login")
def login(user: str) -> PlainTextResponse:
    """In place of your own login: it asks for no password."""
    answer = PlainTextResponse(f"Signed in as {user}")
    answer.set_cookie("user", user, httponly=True, samesite="strict")
    return answer


def signed_in(request: Request) -> str:
    """The user's id. Replace this by your own session: anyone can write such a cookie."""
    if user := request.cookies.get("user"):
        return user
    raise HTTPException(401, "sign in first")


@app.post("/session/chat-token")
def chat_token(request: Request) -> dict[str, str]:
    """A token for ten minutes. The client asks for the next one by itself."""
    now = int(time.time())
    claims = {
        "sub": signed_in(request),
        "iss": "holdfast",
        "aud": "holdfast",
        "iat": now,
        "exp": now + 600,
        "jti": uuid.uuid4().hex,
    }
    return {"token": jwt.encode(claims, SECRET, algorithm="HS256")}


app.mount("/client", StaticFiles(directory="node_modules/@holdfast/client/src"))
app.mount("/", StaticFiles(directory="static", html=True))
