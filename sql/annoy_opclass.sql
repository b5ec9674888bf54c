-- Operator classes that cannot work: amvalidate names what is wrong, and an
-- index does not get built.  Those of the extension are in install.
\set VERBOSITY default
CREATE FUNCTION one(real[], real[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 1::float8';
CREATE FUNCTION one_real(real[], real[]) RETURNS real LANGUAGE sql IMMUTABLE AS 'SELECT 1::real';
CREATE OPERATOR <~> (LEFTARG = real[], RIGHTARG = real[], FUNCTION = one);
CREATE OPERATOR <~~> (LEFTARG = real[], RIGHTARG = real[], FUNCTION = one_real);

CREATE OPERATOR CLASS no_function FOR TYPE real[] USING annoy AS
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS no_operator FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]);
CREATE OPERATOR CLASS foreign_function FOR TYPE real[] USING annoy AS
	FUNCTION 1 one(real[], real[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS wrong_result FOR TYPE real[] USING annoy AS
	FUNCTION 1 one_real(real[], real[]),
	OPERATOR 1 <~~> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS two_types FOR TYPE real[] USING annoy AS
	FUNCTION 1 (real[], float8[]) ann_l2_distance(real[], float8[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS foreign_operator FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <~> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS two_metrics FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <=> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS search FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 = (anyarray, anyarray);
CREATE OPERATOR CLASS range_to_order FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 2 <-> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS foreign_range FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops,
	OPERATOR 2 = (anyarray, anyarray);
CREATE OPERATOR CLASS wrong_range FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops,
	OPERATOR 2 <@~ (real[], cosine_ball);
CREATE OPERATOR CLASS wrong_order FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY integer_ops;
CREATE OPERATOR CLASS wrong_type FOR TYPE integer[] USING annoy AS
	FUNCTION 1 l2_distance(integer[], integer[]),
	OPERATOR 1 <-> (integer[], integer[]) FOR ORDER BY float_ops;
-- a subset of ours is fine
CREATE OPERATOR CLASS one_query FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops;

SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'no_function';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'no_operator';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'foreign_function';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'wrong_result';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'two_types';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'foreign_operator';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'two_metrics';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'search';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'range_to_order';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'foreign_range';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'wrong_range';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'wrong_order';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'wrong_type';
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname = 'one_query';

-- PostgreSQL refuses these itself
CREATE OPERATOR CLASS second FOR TYPE real[] USING annoy AS
	OPERATOR 3 <-> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS second FOR TYPE real[] USING annoy AS
	FUNCTION 2 l2_distance(real[], real[]);
CREATE OPERATOR CLASS stored FOR TYPE real[] USING annoy AS
	FUNCTION 1 l2_distance(real[], real[]),
	OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops,
	STORAGE text;

-- no index without a distance that it can compute, or on a wrong type
CREATE TABLE vectors (r real[], d float8[], i integer[]);
CREATE INDEX ON vectors USING annoy (r no_function);
CREATE INDEX ON vectors USING annoy (r foreign_function);
CREATE INDEX ON vectors USING annoy (i wrong_type);
CREATE INDEX ON vectors USING annoy (i);
CREATE INDEX ON vectors USING annoy (d real_l2_ops);
CREATE INDEX ON vectors USING annoy (r double_l2_ops);

-- what the method cannot do
CREATE INDEX ON vectors USING annoy (r, d);
CREATE UNIQUE INDEX ON vectors USING annoy (r);
CREATE INDEX ON vectors USING annoy (r) INCLUDE (d);
CREATE INDEX ON vectors USING annoy (r DESC);

DROP TABLE vectors;
DO $$
DECLARE
	family name;
BEGIN
	FOR family IN
		SELECT opfname FROM pg_opfamily f JOIN pg_am a ON a.oid = opfmethod
		WHERE amname = 'annoy' AND opfname !~ '^(real|double)_(l2|cosine|ip)_ops$'
		ORDER BY opfname
	LOOP
		EXECUTE format('DROP OPERATOR FAMILY %I USING annoy', family);
	END LOOP;
END
$$;
DROP OPERATOR <~> (real[], real[]), <~~> (real[], real[]);
DROP FUNCTION one, one_real;
