-- What CREATE EXTENSION makes: everything has a comment, distances are of the
-- right kind, and the extension can be moved and dropped.

-- objects without a comment
SELECT pg_describe_object(classid, objid, objsubid)
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ann')
	AND deptype = 'e'
	AND obj_description(objid, classid::regclass::name) IS NULL
	AND NOT (classid = 'pg_type'::regclass AND objid IN (SELECT typarray FROM pg_type));

-- functions by name
SELECT proname, count(*), bool_and(proisstrict) AS strict,
	min(provolatile) AS volatile, min(proparallel) AS parallel,
	bool_and(prosupport <> 0) AS support
FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ann') AND deptype = 'e'
GROUP BY proname ORDER BY proname COLLATE "C";

-- operators by name; each distance has itself with swapped operands as commutator
SELECT o.oprname, count(*), bool_and(c.oprname = o.oprname AND
	c.oprleft = o.oprright AND c.oprright = o.oprleft AND c.oprcode <> 0) AS commutes
FROM pg_operator o
JOIN pg_depend ON objid = o.oid AND classid = 'pg_operator'::regclass
LEFT JOIN pg_operator c ON c.oid = o.oprcom
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ann') AND deptype = 'e'
GROUP BY o.oprname ORDER BY o.oprname COLLATE "C";

-- operator classes; each orders by one distance, to a query of six types, and
-- searches balls of it
SELECT amname, opcname, opcintype::regtype, opcdefault, amvalidate(c.oid) AS valid,
	(SELECT string_agg(DISTINCT o.oprname, ' ') FROM pg_amop m JOIN pg_operator o ON o.oid = m.amopopr
	 WHERE m.amopfamily = c.opcfamily) AS operator,
	(SELECT count(*) FROM pg_amop m WHERE m.amopfamily = c.opcfamily AND
	 m.amoplefttype = c.opcintype AND m.amoppurpose = 'o') AS queries,
	(SELECT m.amoprighttype::regtype FROM pg_amop m WHERE m.amopfamily = c.opcfamily AND
	 m.amoplefttype = c.opcintype AND m.amoppurpose = 's') AS ball
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
JOIN pg_depend ON objid = c.oid AND classid = 'pg_opclass'::regclass
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ann') AND deptype = 'e'
ORDER BY amname, opcname;

-- the kernels in use are of a known kind; better than plain C on processors
-- of the last ten years
SELECT ann_simd() IN ('scalar', 'avx2', 'avx512', 'avx512vnni', 'neon', 'neondot') AS known,
	ann_simd() <> 'scalar' OR version() !~ 'x86_64|aarch64' AS chosen;

-- an ordinary owner of the database installs it, in a schema of their choice
CREATE ROLE regress_ann_owner;
CREATE SCHEMA regress_ann AUTHORIZATION regress_ann_owner;
DROP EXTENSION ann;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_ann_owner', current_database()); END $$;
SET ROLE regress_ann_owner;
CREATE EXTENSION ann SCHEMA regress_ann;
SELECT '{1,2}'::real[] OPERATOR(regress_ann.<->) '{4,6}'::real[] AS distance;
RESET ROLE;
ALTER EXTENSION ann SET SCHEMA public;
SELECT '{1,2}'::real[] <-> '{4,6}'::real[] AS distance;

-- a type, function or operator of somebody else in the way is not overwritten
DROP EXTENSION ann;
CREATE FUNCTION l2_norm(real[]) RETURNS float8 LANGUAGE sql AS 'SELECT 0::float8';
\set VERBOSITY terse
CREATE EXTENSION ann;
\set VERBOSITY default
DROP FUNCTION l2_norm(real[]);
DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM regress_ann_owner', current_database()); END $$;
DROP SCHEMA regress_ann;
DROP ROLE regress_ann_owner;
CREATE EXTENSION ann;
