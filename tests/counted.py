"""What a tenant has in a store, summed from the rows by SQL of our own."""

import sqlite3
from pathlib import Path

WORDS = """
    SELECT coalesce(sum(length(CAST(collection_id AS BLOB)) + length(CAST(backbone AS BLOB))
        + length(CAST(digest AS BLOB))), 0)
    FROM collections JOIN tenants ON tenants.pk = tenant_pk WHERE tenant_id = :tenant
"""
EXAMPLES = """
    SELECT coalesce(sum(length(CAST(example_id AS BLOB)) + length(CAST(label AS BLOB))
        + length(CAST(metadata AS BLOB))), 0)
    FROM examples JOIN collections ON collections.pk = collection_pk
    JOIN tenants ON tenants.pk = tenant_pk WHERE tenant_id = :tenant
"""
IMAGES = """
    SELECT coalesce(sum(length(image)), 0) FROM images JOIN examples ON examples.pk = example_pk
    JOIN collections ON collections.pk = collection_pk
    JOIN tenants ON tenants.pk = tenant_pk WHERE tenant_id = :tenant
"""
CODES = """
    SELECT coalesce(sum(dims * CASE dtype WHEN 'float16' THEN 2 WHEN 'float32' THEN 4 END), 0)
    FROM examples JOIN codes ON codes.batch_pk = examples.batch_pk
    JOIN layers ON layers.pk = layer_pk
    JOIN collections ON collections.pk = examples.collection_pk
    JOIN tenants ON tenants.pk = tenant_pk WHERE tenant_id = :tenant
"""
PROBES = """
    SELECT coalesce(sum(length(CAST(probe_id AS BLOB))), 0)
    FROM probes JOIN tenants ON tenants.pk = tenant_pk WHERE tenant_id = :tenant
"""
VERSIONS = """
    SELECT coalesce(sum(length(CAST(request AS BLOB)) + coalesce(length(CAST(result AS BLOB)), 0)
        + coalesce(length(file), 0) + coalesce(length(answers), 0)), 0)
    FROM versions JOIN probes ON probes.pk = probe_pk
    LEFT JOIN probe_files ON probe_files.version_pk = versions.pk
    LEFT JOIN held_out_answers ON held_out_answers.version_pk = versions.pk
    JOIN tenants ON tenants.pk = tenant_pk WHERE tenant_id = :tenant
"""


def bytes_of(data: Path, tenant_id: str) -> int:
    """Return the bytes that count as the tenant's; the database may be open."""
    raw = sqlite3.connect(f"{(data / 'icecore.db').as_uri()}?mode=ro", uri=True)
    try:
        return sum(
            raw.execute(query, {"tenant": tenant_id}).fetchone()[0]
            for query in (WORDS, EXAMPLES, IMAGES, CODES, PROBES, VERSIONS)
        )
    finally:
        raw.close()
