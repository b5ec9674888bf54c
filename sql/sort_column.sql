-- The distance that rows are sorted by is not computed where nobody reads it.
CREATE TABLE items (id int PRIMARY KEY, vec real[]);
INSERT INTO items SELECT id, array_agg(sin(id * i)) FROM generate_series(1, 2000) id, generate_series(1, 8) i GROUP BY id;
CREATE INDEX items_vec ON items USING annoy (vec);
ANALYZE items;
SET enable_seqscan = off;
\set near '''{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8}'''

EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM items ORDER BY vec <-> :near LIMIT 5;
-- also of a prepared statement, in a subquery, in one that is run for each row
PREPARE nearest(real[]) AS SELECT id FROM items ORDER BY vec <-> $1 LIMIT 5;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE nearest(:near);
RESET plan_cache_mode;
EXPLAIN (VERBOSE, COSTS OFF) SELECT max(id) FROM (SELECT id FROM items ORDER BY vec <-> :near LIMIT 5) s;
EXPLAIN (VERBOSE, COSTS OFF) SELECT q.id, s.id FROM items q,
	LATERAL (SELECT id FROM items ORDER BY vec <-> q.vec LIMIT 2) s WHERE q.id < 3;

-- and of one that was planned before the library was loaded
\c
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
PREPARE nearest(real[]) AS SELECT id FROM items ORDER BY vec <-> $1 LIMIT 5;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE nearest(:near);
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE nearest(:near);
RESET plan_cache_mode;

-- it is where it is selected, or compared above the scan
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, vec <-> :near FROM items ORDER BY vec <-> :near LIMIT 5;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM items ORDER BY vec <-> :near FETCH FIRST 5 ROWS WITH TIES;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM items ORDER BY vec <-> :near FOR UPDATE LIMIT 5;
-- and in scans of other methods
CREATE TABLE places (id int, place point);
CREATE INDEX places_place ON places USING gist (place);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM places ORDER BY place <-> '(0,0)' LIMIT 5;

-- the rows are the same, with either method
CREATE FUNCTION differing(form text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	expected int[];
	result bigint := 0;
	got int[];
BEGIN
	FOR i IN 1..20 LOOP
		SET LOCAL enable_seqscan = on;
		SET LOCAL enable_indexscan = off;
		EXECUTE format('SELECT array_agg(id) FROM (%s) s', form) INTO expected USING i;
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_indexscan = on;
		EXECUTE format('SELECT array_agg(id) FROM (%s) s', form) INTO got USING i;
		result := result + (expected IS DISTINCT FROM got)::int;
	END LOOP;
	RETURN result;
END
$$;
SET ann.search_k = 2000;
SET ann.ef_search = 500;
SELECT differing('SELECT id FROM items ORDER BY vec <-> (SELECT vec FROM items WHERE id = $1) LIMIT 7');
SELECT differing('SELECT id FROM items ORDER BY vec <-> (SELECT vec FROM items WHERE id = $1) OFFSET 20 LIMIT 7');
SELECT differing('SELECT id FROM items WHERE id % 3 = 0 ORDER BY vec <-> (SELECT vec FROM items WHERE id = $1) LIMIT 7');
DROP INDEX items_vec;
CREATE INDEX items_vec ON items USING ann_hnsw (vec);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM items ORDER BY vec <-> :near LIMIT 5;
SELECT differing('SELECT id FROM items ORDER BY vec <-> (SELECT vec FROM items WHERE id = $1) LIMIT 7');

DROP TABLE items, places;
DROP FUNCTION differing(text);
