use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Api, json};
use utoipa::OpenApi as _;

/// The routes of the table, each with its methods; `HEAD` goes with `GET` and is not told.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let source = include_str!("../mod.rs");
    let (_, routes) = source.split_once("pub fn routes").expect("the route table");
    let (routes, _) = routes.split_once(".default_service").expect("its end");
    let each = routes.split("only(").skip(1).map(|call| {
        let mut texts = call.split('"').skip(1).step_by(2);
        let (path, methods) = (texts.next().expect("a path"), texts.next().expect("its methods"));
        (path.to_owned(), methods.split(", ").filter(|method| *method != "HEAD").map(str::to_owned).collect())
    });
    let table: BTreeMap<_, _> = each.collect();
    assert_eq!(table.len(), routes.matches(".service(").count(), "a route that does not read `only(path, methods, ..)`");
    table
}

fn document() -> Value {
    serde_json::from_str(&json()).expect("json")
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of = |path: &String, item: &'_ Value| -> Vec<(String, String)> {
        item.as_object().expect("an item").keys().map(|method| (path.clone(), method.to_uppercase())).collect()
    };
    let names = paths.iter().flat_map(|(path, item)| of(path, item));
    names.map(|(path, method)| (path.clone(), method.clone(), &document["paths"][&path][method.to_lowercase()])).collect()
}

#[test]
fn the_document_has_every_route_of_the_table_and_no_other() {
    let document = document();
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        described.entry(path).or_default().insert(method);
    }
    assert_eq!(described, table());
}

#[test]
fn every_operation_has_an_id_of_its_own_a_tag_a_summary_and_its_refusals() {
    let document = document();
    let tags: Vec<&str> = document["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(tags.contains(&operation["tags"][0].as_str().expect("a tag")), "{id}");
        assert!(!operation["summary"].as_str().expect("a summary").is_empty(), "{id}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(
            responses.contains_key("400") && responses.contains_key("403") && responses.contains_key("500"),
            "{method} {path}"
        );
        assert_eq!(method == "POST", responses.contains_key("415"), "{method} {path}");
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let parameters = operation["parameters"].as_array().expect("parameters");
            assert!(
                parameters.iter().any(|each| each["name"] == name && each["in"] == "path" && each["required"] == true),
                "{path}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_described_in_vain() {
    fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match value.as_str().filter(|_| key == "$ref") {
                Some(reference) => drop(found.insert(reference)),
                None => collect(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in &references {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().expect("components").keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(references.contains(reference.as_str()), "{reference} is never used");
        }
    }
}

#[test]
fn it_is_openapi_3_1_of_this_version_and_the_copy_in_the_repository_is_the_same() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(Api::openapi().info.title, "Plimsoll");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    if std::env::var_os("PLIMSOLL_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, json()).expect("written");
    }
    let copy = std::fs::read_to_string(golden).unwrap_or_default();
    assert!(
        copy == json(),
        "docs/openapi.json is not what the code says; `just openapi` refreshes it, then look at the difference"
    );
}
