"""Who may do what: users, their organisations and tokens."""

from dataclasses import dataclass, field


@dataclass
class Token:
    """One access token. `role` is the Hub's: read, write or fineGrained."""

    user: str
    role: str = "write"


@dataclass
class Accounts:
    """Users with the organisations that they belong to, and tokens."""

    organisations: dict[str, list[str]] = field(default_factory=dict)  # user -> organisations
    tokens: dict[str, Token] = field(default_factory=dict)

    def add(self, user: str, token: str, role: str = "write", organisations: list[str] | None = None) -> None:
        """A user (or one more token of a known user)."""
        self.organisations.setdefault(user, []).extend(organisations or [])
        self.tokens[token] = Token(user, role)

    def member(self, token: Token | None, namespace: str) -> bool:
        """Whether the token's user is the namespace, or belongs to it."""
        return token is not None and namespace in (token.user, *self.organisations[token.user])

    def may_write(self, token: Token | None, namespace: str) -> bool:
        """Whether the token may change repositories of the namespace."""
        return self.member(token, namespace) and token is not None and token.role != "read"

    def whoami(self, token: Token) -> dict:
        """The answer of /api/whoami-v2."""
        return {
            "type": "user",
            "id": f"id-{token.user}",
            "name": token.user,
            "fullname": token.user.title(),
            "email": f"{token.user}@example.org",
            "isPro": False,
            "orgs": [
                {"type": "org", "id": f"id-{name}", "name": name, "fullname": name, "roleInOrg": "write"}
                for name in self.organisations[token.user]
            ],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": "a token", "role": token.role, "createdAt": "2026-01-01T00:00:00.000Z"},
            },
        }
