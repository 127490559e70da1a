//! What is the same for every operation, added once.

use utoipa::Modify;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Content, OpenApi, RefOr, Required};

use super::errors;

/// Adds the shared refusals, and those that every route may answer.
pub(super) struct Complete;

impl Modify for Complete {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_default();
        components.responses.extend(errors::components());
        for (name, schema) in &mut components.schemas {
            tidy(schema);
            if let (RefOr::T(Schema::Object(object)), true) = (schema, POINTS.contains(&name.as_str())) {
                let names = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,64}$"));
                object.property_names = Some(Box::new(names.into()));
            }
        }
        for operation in api.paths.paths.values_mut().flat_map(operations) {
            for (status, refusal) in errors::universal() {
                operation.responses.responses.entry(status).or_insert(refusal);
            }
            operation.parameters.iter_mut().flatten().for_each(allow_empty);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content.values_mut().for_each(not_null);
            }
            // what a comment says to callers in Rust
            let text = operation.description.take();
            let text = text.map(|text| unwrapped(text.split("# Errors").next().unwrap_or_default().trim()));
            operation.description = text.filter(|text| !text.is_empty());
        }
    }
}

/// Schemas whose fields have names that others choose.
const POINTS: [&str; 3] = ["Benchmark", "BenchmarkAt", "BenchmarkNow"];

/// Parameters of the choice of events; an empty one is refused, so that no choice is lost by mistake.
const CHOICE: [&str; 2] = ["profile_id", "severity"];

/// An empty value of the query is as good as none, whatever the form of others.
fn allow_empty(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let Some(RefOr::T(Schema::Object(schema))) = &parameter.schema else { return };
    // any text may be empty; a list has no empty value
    let is_free = schema.schema_type == SchemaType::Type(Type::String)
        && schema.format.is_none()
        && schema.pattern.is_none()
        && schema.enum_values.is_none();
    let may_be_empty = !is_free && !CHOICE.contains(&parameter.name.as_str());
    if parameter.parameter_in == ParameterIn::Query && parameter.required != Required::True && may_be_empty {
        let empty = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
        let either = AnyOfBuilder::new().item(schema.clone()).item(empty);
        parameter.schema = Some(RefOr::T(Schema::AnyOf(either.build())));
    }
}

/// A body that may be left out is not `null`.
fn not_null(content: &mut RefOr<Content>) {
    let RefOr::T(content) = content else { return };
    let Some(RefOr::T(Schema::OneOf(either))) = &content.schema else { return };
    let is_null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null));
    let mut others = either.items.iter().filter(|item| !is_null(item));
    if let (Some(only), None) = (others.next(), others.next()) {
        content.schema = Some(only.clone());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// A description is a paragraph: the line breaks of a comment are not its own.
fn tidy(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    object.description = object.description.take().map(|text| unwrapped(&text));
    object.properties.values_mut().for_each(tidy);
}

fn unwrapped(text: &str) -> String {
    let line = |paragraph: &str| if paragraph.starts_with("- ") { paragraph.to_owned() } else { paragraph.replace('\n', " ") };
    text.split("\n\n").map(line).collect::<Vec<_>>().join("\n\n")
}
