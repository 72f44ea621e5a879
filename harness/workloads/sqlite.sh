#!/usr/bin/dash
# SQLite: 20,000 rows built, indexed, asked, changed, deleted, in the file system that is memory.
cd /tmp || exit 1
sqlite3 w.db > w.out <<'END' || exit 1
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind INTEGER, price REAL);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO item SELECT i, printf('item-%06d', (i * 7919) % 100003), i % 97, (i % 1000) / 8.0 FROM n;
COMMIT;
CREATE INDEX item_name ON item(name);
SELECT count(*), sum(kind) FROM item;
SELECT kind, count(*), max(price) FROM item GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 3;
UPDATE item SET price = price + 1 WHERE kind < 48;
DELETE FROM item WHERE kind IN (3, 5, 7);
PRAGMA integrity_check;
END
tail -n 1 w.out | grep -q '^ok$' || exit 1
rm -f w.db w.out
