use super::Place;

#[test]
fn what_cannot_be_used_is_laid_at_its_source() {
    let place = Place::new();
    let text = "[kms.providers.m]\ntype = \"aws\"\nregion = \"r\"";
    let variables = [("TIDEGATE_KMS__PROVIDERS__M__ENDPOINT", "http://e")];
    let loaded = place.load(text, &variables).unwrap_or_else(|e| panic!("{e}"));
    for (sentence, line) in [
        ("kms.providers.m.region makes no address", "@/t.toml: kms.providers.m.region: makes no address"),
        (
            "kms.providers.m.endpoint: is none",
            "TIDEGATE_KMS__PROVIDERS__M__ENDPOINT: kms.providers.m.endpoint: is none",
        ),
        ("kms.providers.m: no credentials", "@/t.toml: kms.providers.m: no credentials"),
        ("kms.providers.m.regional is none", "@/t.toml: kms.providers.m.regional is none"),
    ] {
        let error = loaded.unusable(sentence).to_string();
        assert_eq!(error.replace(&place.0.display().to_string(), "@"), line);
    }
}
