"""How customers of these tests log in by password and authenticator."""

from tests.totp import totp_code

PASSWORD = "correct horse 4711"


def code(answer):
    return answer.status_code, answer.json()["code"]


def equip(device, *, step=-1):
    """Give a customer a password and an authenticator."""
    assert device.send("PUT", "/v1/password", {"password": PASSWORD}).status_code == 204
    begun = device.post("/v1/totp").json()
    body = {"challenge_id": begun["challenge_id"], "code": totp_code(begun["seed"], step=step)}
    device.recovery = device.post("/v1/totp/activation", body).json()["recovery_codes"]
    device.seed = begun["seed"]
    return device


def log_in(device, **body):
    """Log in by password."""
    device.lose_tokens()
    return device.keep(device.post("/v1/log-ins/password", {"password": PASSWORD} | body))


def wrong(number):
    return f"{(int(number) + 1) % 10**6:06}"
