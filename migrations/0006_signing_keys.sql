-- Keys that identity tokens are signed with. The newest signs; older ones stay until nothing is around that they signed.
create table signing_keys (
    id         uuid primary key,               -- the token header's `kid`
    sealed     bytea not null,                 -- the private key, PKCS#8, sealed by the master key
    public     jsonb not null,                 -- the public key as a JWK, published as it is
    created_at timestamptz not null default now()
);
create index on signing_keys (created_at);
