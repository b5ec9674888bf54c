--
-- texts.sql
--	  The server's own documentation as a table of texts and vectors.
--
-- Leaves docs(id, what, text, vec): what the server says about its functions,
-- operators, types and so on (pg_description), and about its settings.  A
-- vector counts the n-grams of a text, the runs of 3 or 4 letters in its words,
-- hashed to 512 places with a random sign, rare ones weighing more; it has
-- length 1.  Texts that share uncommon parts of words have small cosine
-- distances.  Also leaves embed(text), by which questions become vectors, and
-- texts, weights and grams(text), which it uses.
--

-- How often each n-gram occurs in a text.  A blank marks the ends of a word.
CREATE FUNCTION grams(text) RETURNS TABLE (gram text, n bigint)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 20 AS $$
	SELECT substr(w, i, len), count(*)
	FROM regexp_split_to_table(lower($1), '[^a-z0-9]+') AS word,
		concat(' ', word, ' ') AS w,
		generate_series(3, 4) AS len,
		generate_series(1, length(w) - len + 1) AS i
	WHERE word <> ''
	GROUP BY 1
$$;

CREATE TABLE texts AS
	SELECT row_number() OVER (ORDER BY what, said)::int AS id, what, said AS text
	FROM (
		SELECT pg_describe_object(classoid, objoid, objsubid), description
		FROM pg_description
		WHERE NOT EXISTS (SELECT FROM pg_depend	-- no member of an extension, ours among them
						  WHERE classid = classoid AND objid = objoid AND deptype = 'e')
		UNION
		SELECT 'setting ' || name, concat_ws(' ', short_desc, extra_desc)
		FROM pg_settings
	) AS t(what, said);

-- Every n-gram of the texts, its place in the vector, and its signed weight.
CREATE TABLE weights AS
	SELECT gram, hashtext(gram) & 511 AS place,
		sign(hashtext('sign ' || gram)) * ln((SELECT count(*) FROM texts)::float8 / count(*)) AS weight
	FROM texts, grams(what || ' ' || text)
	GROUP BY gram;
ALTER TABLE weights ADD PRIMARY KEY (gram);
ANALYZE weights;

CREATE FUNCTION embed(text) RETURNS real[]
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
	SELECT l2_normalize(array_agg(coalesce(x, 0)::real ORDER BY place))
	FROM generate_series(0, 511) AS place
	LEFT JOIN (
		SELECT place, sum(weight * (1 + ln(n)))
		FROM grams($1) JOIN weights USING (gram)
		GROUP BY place
	) AS counted(place, x) USING (place)
$$;

-- Vectors hardly compress, and nothing uses statistics of them.
CREATE TABLE docs (id int PRIMARY KEY, what text, text text, vec real[]);
ALTER TABLE docs ALTER vec SET STORAGE EXTERNAL, ALTER vec SET STATISTICS 0;
INSERT INTO docs SELECT id, what, text, embed(what || ' ' || text) FROM texts;
