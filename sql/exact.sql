-- Distances against a computation that shares nothing with the kernels:
-- SQL's own arithmetic on the unnested elements.
-- 1,000 random pairs of each metric and pair of types; numbers are seeded.
SELECT setseed(0.42);

CREATE TABLE pairs AS
SELECT id, dim, a, b
FROM (SELECT id, CASE WHEN id % 100 = 0 THEN 1500 WHEN id % 10 = 0 THEN 300 ELSE 1 + id % 70 END AS dim
	  FROM generate_series(1, 1000) id) d,
	LATERAL (SELECT array_agg((random() - 0.5) * power(10, dim % 5 + 0 * i)) AS a,
			 array_agg((random() - 0.5) * power(10, dim % 3 + 0 * i)) AS b
			 FROM generate_series(1, dim) i) v;
-- edge cases: equal, opposite, zero, subnormal in real, far apart in size
INSERT INTO pairs VALUES
	(1001, 3, '{1,2,3}', '{1,2,3}'), (1002, 3, '{1,2,3}', '{-1,-2,-3}'),
	(1003, 2, '{0,0}', '{0,0}'), (1004, 2, '{0,0}', '{1,1}'),
	(1005, 2, '{1e-40,2e-40}', '{-1e-40,1e-42}'), (1006, 2, '{1e30,1}', '{1,1e30}'),
	(1007, 1, '{16777217}', '{16777216}');

-- the reference: sums of what the elements are in double precision
CREATE FUNCTION reference(a float8[], b float8[], OUT l2sq float8, OUT ip float8,
	OUT aa float8, OUT bb float8, OUT abs_ip float8) LANGUAGE sql AS $$
	SELECT sum((x - y) * (x - y)), sum(x * y), sum(x * x), sum(y * y), sum(abs(x * y))
	FROM unnest(a, b) e(x, y)
$$;
-- within 1e-12 of the size of what was added up
CREATE FUNCTION near(got float8, wanted float8, size float8) RETURNS boolean LANGUAGE sql AS $$
	SELECT abs(got - wanted) <= 1e-12 * size
$$;

CREATE FUNCTION disagreements(type_a text, type_b text)
RETURNS TABLE (type text, compared bigint, l2 bigint, ip bigint, cosine bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT %3$L, count(*),
			count(*) FILTER (WHERE NOT near(v.a <-> v.b, sqrt(r.l2sq), sqrt(r.l2sq))),
			count(*) FILTER (WHERE NOT near(v.a <#> v.b, -r.ip, r.abs_ip)),
			count(*) FILTER (WHERE CASE WHEN r.aa = 0 OR r.bb = 0
				THEN (v.a <=> v.b) IS DISTINCT FROM 'NaN'
				ELSE NOT near(v.a <=> v.b, 1 - r.ip / (sqrt(r.aa) * sqrt(r.bb)), 1) END)
		FROM pairs, LATERAL (SELECT pairs.a::%1$s AS a, pairs.b::%2$s AS b OFFSET 0) v,
			LATERAL reference(v.a::float8[], v.b::float8[]) r$q$,
		type_a, type_b, type_a || ', ' || type_b);
END
$$;
SELECT * FROM disagreements('real[]', 'real[]');
SELECT * FROM disagreements('float8[]', 'float8[]');
SELECT * FROM disagreements('real[]', 'float8[]');
SELECT * FROM disagreements('float8[]', 'real[]');
SELECT * FROM disagreements('real[]', 'numeric[]');
SELECT * FROM disagreements('numeric[]', 'float8[]');
SELECT count(*) AS norms, count(*) FILTER (WHERE NOT near(l2_norm(a), sqrt(aa), sqrt(aa))) AS wrong,
	count(*) FILTER (WHERE NOT near(inner_product(a, b), ip, abs_ip)) AS wrong_ip
FROM pairs, LATERAL reference(a, b);

-- equal values give equal bits, whatever the types and the order of operands
SELECT count(*) FILTER (WHERE NOT (r <-> s = s <-> r AND r <-> s = r::float8[] <-> s::float8[] AND
		r <-> s = r <-> s::float8[] AND r <-> s = r::float8[] <-> s)) AS l2,
	count(*) FILTER (WHERE NOT (r <#> s = s <#> r AND r <#> s = r::float8[] <#> s::float8[] AND
		r <#> s = r <#> s::float8[] AND r <#> s = r::float8[] <#> s)) AS ip,
	count(*) FILTER (WHERE NOT (r <=> s = s <=> r AND r <=> s = r::float8[] <=> s::float8[] AND
		r <=> s = r <=> s::float8[] AND r <=> s = r::float8[] <=> s)) AS cosine
FROM (SELECT a::real[] AS r, b::real[] AS s FROM pairs WHERE id <= 1000) p;

DROP TABLE pairs;
DROP FUNCTION disagreements(text, text);
DROP FUNCTION near(float8, float8, float8);
DROP FUNCTION reference(float8[], float8[]);
