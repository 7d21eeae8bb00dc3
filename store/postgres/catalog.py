"""Describes a schema from Postgres's own catalogue, so that two can be compared."""

from __future__ import annotations

import sqlalchemy as sa

_QUERIES = (
    # Tables and views: kind, partition key, storage settings, comment.
    """
    SELECT 'relation ' || c.relname,
           concat_ws('; ', c.relkind::text, pg_get_partkeydef(c.oid), array_to_string(c.reloptions, ','),
                     obj_description(c.oid, 'pg_class'))
      FROM pg_class c
     WHERE c.relnamespace = CAST(%(schema)s AS regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
       AND NOT c.relispartition
    """,
    """
    SELECT 'column ' || c.relname || '.' || a.attname,
           concat_ws('; ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                     nullif(a.attidentity::text, ''), nullif(a.attgenerated::text, ''),
                     pg_get_expr(d.adbin, d.adrelid), a.attstorage::text, nullif(a.attcompression::text, ''),
                     col_description(c.oid, a.attnum))
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = CAST(%(schema)s AS regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
       AND NOT c.relispartition
    """,
    """
    SELECT 'constraint ' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
     WHERE c.relnamespace = CAST(%(schema)s AS regnamespace) AND NOT c.relispartition
    """,
    # pg_get_indexdef always names the schema; the comparison is of what follows.
    """
    SELECT 'index ' || t.relname || '.' || c.relname,
           replace(pg_get_indexdef(c.oid), quote_ident(%(schema)s) || '.', '')
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
     WHERE t.relnamespace = CAST(%(schema)s AS regnamespace) AND NOT t.relispartition
    """,
    """
    SELECT 'view ' || c.relname, pg_get_viewdef(c.oid)
      FROM pg_class c WHERE c.relnamespace = CAST(%(schema)s AS regnamespace) AND c.relkind = 'v'
    """,
    """
    SELECT 'trigger ' || c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid)
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE c.relnamespace = CAST(%(schema)s AS regnamespace) AND NOT c.relispartition AND NOT t.tgisinternal
    """,
    """
    SELECT 'grant ' || c.relname || '.' || %(role)s, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
      FROM pg_class c, aclexplode(c.relacl) a
     WHERE c.relnamespace = CAST(%(schema)s AS regnamespace)
       AND a.grantee = (SELECT oid FROM pg_roles WHERE rolname = %(role)s)
     GROUP BY c.relname
    """,
    # A partition that is not exactly one month is shown; one that is shows nothing, on either side.
    """
    SELECT 'partition ' || p.relname || '.' || c.relname, pg_get_expr(c.relpartbound, c.oid)
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent,
           regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('(.*)'\\) TO \\('(.*)'\\)$$) bound
     WHERE p.relnamespace = CAST(%(schema)s AS regnamespace) AND c.relispartition AND p.relkind = 'p'
       AND (bound IS NULL
            OR bound[1]::timestamptz <> date_trunc('month', bound[1]::timestamptz)
            OR bound[2]::timestamptz <> bound[1]::timestamptz + interval '1 month')
    """,
)


def describe(connection: sa.Connection, schema: str, role: str) -> dict[str, str]:
    """What `schema` holds: a name such as `column document.lang` → how Postgres would write it.

    Names print without the schema, which must come first in the search path; `role` is the one whose grants are shown.
    """
    described: dict[str, str] = {}
    for query in _QUERIES:
        rows = connection.exec_driver_sql(query, {"schema": schema, "role": role})
        described.update((str(key), str(value)) for key, value in rows)
    return described
