-- The graph of ann_hnsw: how much its searches find, after builds, inserts and
-- vacuum, and that links lead to every row.  What both methods have in common is in
-- the tests of annoy, some of which are run for ann_hnsw, too.
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET ann.target_recall = 0.999;
CREATE SCHEMA graph;
SET search_path = graph, public;
SELECT setseed(0.25);

-- Points of a bent surface of 6 dimensions in 24, in 40 clusters.
CREATE TABLE basis AS SELECT d, array_agg(random() - 0.5) AS w FROM generate_series(1, 24) d, generate_series(1, 6) GROUP BY d;
CREATE TABLE clusters AS SELECT c, array_agg(4 * random()) AS z FROM generate_series(0, 39) c, generate_series(1, 6) GROUP BY c;
CREATE FUNCTION point(z float8[]) RETURNS real[] LANGUAGE sql STABLE AS
$$ SELECT array_agg((1.5 + sin(w[1] * z[1] + w[2] * z[2] + w[3] * z[3]) + w[4] * z[4] + w[5] * z[5] + w[6] * z[6])::real ORDER BY d) FROM basis $$;
CREATE FUNCTION draw(n int) RETURNS SETOF real[] LANGUAGE sql VOLATILE AS
$$ SELECT point(ARRAY[c.z[1] + r.a, c.z[2] + r.b, c.z[3] + r.c, c.z[4] + r.d, c.z[5] + r.e, c.z[6] + r.f])
	FROM (SELECT random() a, random() b, random() c, random() d, random() e, random() f, (random() * 39)::int AS k
		FROM generate_series(1, n)) r JOIN clusters c ON c.c = r.k $$;
CREATE TABLE rows AS SELECT row_number() OVER () AS id, vec FROM draw(6000) vec;
CREATE TABLE queries AS SELECT row_number() OVER () AS id, vec FROM draw(100) vec;
ALTER TABLE rows ADD PRIMARY KEY (id);

-- Share of the ten nearest that the index finds, against a sort of the table.
CREATE FUNCTION recall(tab regclass, operator text) RETURNS float8 LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
	result float8;
BEGIN
	EXECUTE format('SELECT avg((SELECT count(*) FILTER (WHERE x <= far) FROM (SELECT t.vec %2$s q.vec AS x FROM %1$s t
			ORDER BY t.vec %2$s q.vec LIMIT 10) n)) / 10
		FROM (SELECT vec, (SELECT max(x) FROM (SELECT (t.vec %2$s q.vec) + 0 AS x FROM %1$s t ORDER BY 1 LIMIT 10) n) AS far
			FROM queries q) q', tab, operator) INTO result;
	RETURN result;
END $$;
CREATE FUNCTION at_least(value float8, floor float8) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN value >= floor THEN 'good' ELSE value || ' is below ' || floor END $$;

-- builds: all ways of storing, all distances
CREATE FUNCTION recalls(opclass text, operator text, floor float8) RETURNS TABLE (scalar text, recall text, problems bigint)
LANGUAGE plpgsql AS $$
BEGIN
	FOREACH scalar IN ARRAY ARRAY['f64', 'f32', 'f16', 'i8', 'none'] LOOP
		EXECUTE format('CREATE INDEX rows_vec ON rows USING ann_hnsw (vec %I) WITH (scalar = %s)', opclass, scalar);
		RETURN QUERY SELECT recalls.scalar, at_least(recall('rows', operator), floor),
			(SELECT count(*) FROM ann_check('rows_vec', true));
		DROP INDEX rows_vec;
	END LOOP;
END $$;
SELECT * FROM recalls('real_l2_ops', '<->', 0.99);
SELECT * FROM recalls('real_cosine_ops', '<=>', 0.99);
SELECT * FROM recalls('real_ip_ops', '<#>', 0.97);

-- half of the rows come after the build, in any order and along the first dimension
CREATE INDEX rows_vec ON rows USING ann_hnsw (vec);
CREATE TABLE half AS SELECT * FROM rows WHERE id % 2 = 0;
CREATE TABLE drift AS SELECT * FROM rows ORDER BY vec[1] LIMIT 3000;
CREATE INDEX half_vec ON half USING ann_hnsw (vec);
CREATE INDEX drift_vec ON drift USING ann_hnsw (vec);
INSERT INTO half SELECT * FROM rows WHERE id % 2 = 1;
INSERT INTO drift SELECT * FROM rows ORDER BY vec[1] OFFSET 3000;
SELECT at_least(recall('half', '<->'), recall('rows', '<->') - 0.01) AS half,
	at_least(recall('drift', '<->'), recall('rows', '<->') - 0.02) AS drift;
SELECT code, count(*) FROM ann_check('half_vec', true) GROUP BY 1;
SELECT code, count(*) FROM ann_check('drift_vec', true) GROUP BY 1;

-- created empty
CREATE TABLE empty (id bigint, vec real[]);
CREATE INDEX empty_vec ON empty USING ann_hnsw (vec) WITH (m = 12, ef_construction = 80);
INSERT INTO empty SELECT * FROM rows;
SELECT at_least(recall('empty', '<->'), recall('rows', '<->') - 0.02) AS empty;
SELECT code, count(*) FROM ann_check('empty_vec', true) GROUP BY 1;
SELECT method, trees, m, ef_construction, dimensions FROM ann_index_info('empty_vec');

-- three quarters go
DELETE FROM half WHERE id % 8 > 1;
DELETE FROM drift WHERE id % 8 > 1;
VACUUM half, drift;
SELECT at_least(recall('half', '<->'), 0.95) AS half, at_least(recall('drift', '<->'), 0.95) AS drift;
SELECT code, count(*) FROM ann_check('half_vec', true) GROUP BY 1;
SELECT code, count(*) FROM ann_check('drift_vec', true) GROUP BY 1;
-- and their space is used again
SELECT pg_relation_size('half_vec') AS before \gset
INSERT INTO half SELECT id, vec FROM rows WHERE id % 8 > 4;
SELECT pg_relation_size('half_vec') <= 1.1 * :before AS reused;
SELECT code, count(*) FROM ann_check('half_vec', true) GROUP BY 1;

-- a thousand copies of one row among others
CREATE TABLE copies AS SELECT * FROM rows WHERE id <= 3000;
INSERT INTO copies SELECT 10000 + i, vec FROM rows, generate_series(1, 1000) i WHERE id = 77;
CREATE INDEX copies_vec ON copies USING ann_hnsw (vec);
INSERT INTO copies SELECT 20000 + i, vec FROM rows, generate_series(1, 1000) i WHERE id = 78;
SELECT at_least(recall('copies', '<->'), 0.99) AS copies;
SELECT code, count(*) FROM ann_check('copies_vec', true) GROUP BY 1;

-- a hundred clusters far from one another
CREATE TABLE islands AS SELECT r.id, (SELECT array_agg((x / 50 + 10 * (hashint8(r.id % 100 * 31 + o) % 1000) / 1000.0)::real ORDER BY o)
	FROM unnest(r.vec) WITH ORDINALITY u(x, o)) AS vec FROM rows r;
TRUNCATE queries;
INSERT INTO queries SELECT id, (SELECT array_agg(x + 0.001 * sin(o)::real ORDER BY o) FROM unnest(vec) WITH ORDINALITY u(x, o))
	FROM islands WHERE id <= 100;
CREATE INDEX islands_vec ON islands USING ann_hnsw (vec);
SELECT at_least(recall('islands', '<->'), 0.99) AS islands;
SELECT code, count(*) FROM ann_check('islands_vec', true) GROUP BY 1;

-- four hundred small ones, from the beginning and one row after another
CREATE TABLE specks AS SELECT row_number() OVER () AS id,
	(SELECT array_agg((10 * sin(i % 400 * 31 + o * o) + random() - 0.5)::real ORDER BY o) FROM generate_series(1, 24 + 0 * i) o) AS vec
FROM generate_series(1, 6000) i;
CREATE TABLE late (LIKE specks);
CREATE INDEX late_vec ON late USING ann_hnsw (vec);
INSERT INTO late SELECT * FROM specks ORDER BY hashint8(id);
CREATE INDEX specks_vec ON specks USING ann_hnsw (vec);
TRUNCATE queries;
INSERT INTO queries SELECT id, vec FROM specks WHERE id % 30 = 1;
SELECT at_least(recall('specks', '<->'), 0.99) AS specks, at_least(recall('late', '<->'), 0.97) AS late;

-- one row beside which the distances of the others are nothing
CREATE TABLE giant AS SELECT i AS id, ARRAY[5e5 + random(), 4.6e6 + random(), 150 + random()]::real[] AS vec FROM generate_series(1, 5000) i;
INSERT INTO giant VALUES (5001, '{1e30,1,1}');
CREATE INDEX giant_vec ON giant USING ann_hnsw (vec);
TRUNCATE queries;
INSERT INTO queries SELECT id, vec FROM giant WHERE id % 100 = 1;
SELECT at_least(recall('giant', '<->'), 0.99) AS giant;

-- queries from far outside: the nearest rows are no neighbours of one another
TRUNCATE queries;
INSERT INTO queries SELECT i, (SELECT array_agg((1000 * (random() - 0.5))::real) FROM generate_series(1, 24 + 0 * i)) FROM generate_series(1, 50) i;
DROP INDEX rows_vec;
CREATE INDEX rows_vec ON rows USING ann_hnsw (vec real_cosine_ops);
SELECT at_least(recall('rows', '<=>'), 0.97) AS far;
DROP INDEX rows_vec;
CREATE INDEX rows_vec ON rows USING ann_hnsw (vec) WITH (scalar = i8);
SELECT at_least(recall('rows', '<->'), 0.97) AS far;

-- rows that come and go in clusters, where the index has no vectors: others take the
-- places of the entries, which have all died after some rounds
CREATE FUNCTION speck(c int) RETURNS real[] LANGUAGE sql VOLATILE AS
$$ SELECT array_agg((5 * sin(c * 31 + j * j) + random() - 0.5)::real) FROM generate_series(1, 16) j $$;
CREATE TABLE bare (id serial, vec real[]) WITH (autovacuum_enabled = off);
CREATE INDEX bare_vec ON bare USING ann_hnsw (vec) WITH (scalar = none);
INSERT INTO bare (vec) SELECT speck(i % 10) FROM generate_series(1, 500) i;
\set round 'DELETE FROM bare WHERE id <= (SELECT max(id) - 100 FROM bare); INSERT INTO bare (vec) SELECT speck(i % 10) FROM generate_series(1, 100) i; VACUUM bare; SELECT code, count(*) FROM ann_check(\'bare_vec\', true) GROUP BY 1;'
:round :round :round :round :round :round
TRUNCATE queries;
INSERT INTO queries SELECT id, vec FROM bare;
SET ann.ef_search = 40;
SELECT at_least(recall('bare', '<->'), 0.97) AS bare;
RESET ann.ef_search;

-- many links; and a LIMIT above ef_search
CREATE INDEX rows_many ON rows USING ann_hnsw (vec) WITH (m = 100, ef_construction = 200);
SELECT count(*) FROM ann_check('rows_many', true);
SET ann.ef_search = 1;
DROP INDEX rows_many;
SELECT count(*) FROM (SELECT id FROM rows ORDER BY vec <-> '{1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}' LIMIT 500) n;

-- an expression that has come to mean something else: other lengths are no neighbours
CREATE FUNCTION shape(id int) RETURNS real[] IMMUTABLE LANGUAGE sql AS 'SELECT ARRAY[id, id % 7, 1]::real[]';
CREATE TABLE shapes AS SELECT generate_series(1, 200) AS id;
CREATE INDEX shapes_vec ON shapes USING ann_hnsw (shape(id)) WITH (scalar = none);
CREATE OR REPLACE FUNCTION shape(id int) RETURNS real[] IMMUTABLE LANGUAGE sql AS
	'SELECT CASE WHEN id % 2 = 0 THEN array_fill(id::real, ARRAY[500]) ELSE ARRAY[id, id % 7, 1]::real[] END';
INSERT INTO shapes SELECT i FROM generate_series(201, 301, 2) i;
DELETE FROM shapes WHERE id % 10 = 1;
VACUUM shapes;
INSERT INTO shapes SELECT i FROM generate_series(303, 401, 2) i;
SELECT count(*) FROM ann_check('shapes_vec');
-- inner product: the length of a query does not matter
TRUNCATE queries;
INSERT INTO queries SELECT id, (SELECT array_agg((x * s)::real) FROM unnest(vec) x) FROM rows, (VALUES (1e-6), (1e9)) l(s) WHERE id % 200 = 0;
RESET ann.ef_search;
CREATE INDEX rows_ip ON rows USING ann_hnsw (vec real_ip_ops);
SELECT at_least(recall('rows', '<#>'), 0.95) AS lengths;
DROP INDEX rows_ip;
CREATE INDEX rows_ip ON rows USING annoy (vec real_ip_ops);
SELECT at_least(recall('rows', '<#>'), 0.95) AS lengths;
DROP INDEX rows_ip;
DROP SCHEMA graph CASCADE;
