//! `#[derive(Block)]`: makes a struct of `Option` fields a block of the Job tree. `#[derive(Wire)]` (in [`wire`]): says what other
//! structs with serde's attributes are called on the wire, field by field.
//!
//! Reads: `#[block(json = "Type")]` on the struct; on each field its doc comment (the help text)
//! and `#[field(json = "Name", hcl = "name", default = "…", unit = "…", values = "a b", label, zero, omit, interpolated, stored = "…")]`.
//! Gives: the static schema, typed access to every field by number, and serde over the wire's names.
//! All behaviour lives in `tarpan_model::schema`; the generated code is only a table and two matches.

mod wire;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Attribute, Data, DataStruct, DeriveInput, Expr, ExprLit, Fields, FieldsNamed, Lit, Meta, parse_macro_input};

/// Derives `Block`, `Serialize` and `Deserialize`; see the crate's documentation for the attributes.
#[proc_macro_derive(Block, attributes(block, field))]
pub fn derive_block(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match expand(&input) {
        Ok(tokens) => tokens.into(),
        Err(error) => error.to_compile_error().into(),
    }
}

/// Derives `tarpan_model::wire::Wire` from serde's attributes (`rename`, `rename_all = "PascalCase"`).
#[proc_macro_derive(Wire, attributes(serde))]
pub fn derive_wire(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match wire::expand(&input) {
        Ok(tokens) => tokens.into(),
        Err(error) => error.to_compile_error().into(),
    }
}

#[derive(Default)]
struct FieldFacts {
    json: Option<String>,
    hcl: Option<String>,
    default: String,
    unit: String,
    values: String,
    stored: String,
    label: bool,
    zero: bool,
    omit: bool,
    interpolated: bool,
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let name = &input.ident;
    let fields = named_fields(input)?;
    let wire = block_json(&input.attrs)?.unwrap_or_else(|| name.to_string());
    let block_doc = doc(&input.attrs);

    let mut rows = Vec::new();
    let mut reads = Vec::new();
    let mut writes = Vec::new();
    let mut names = Vec::new();
    for (index, field) in fields.named.iter().enumerate() {
        let ident = field.ident.as_ref().expect("named fields have names");
        let ty = &field.ty;
        let facts = facts(&field.attrs)?;
        let json = facts.json.ok_or_else(|| syn::Error::new_spanned(field, "a field needs #[field(json = \"…\")]"))?;
        names.push((ident, ty, json.clone()));
        let rust = ident.to_string();
        let hcl = match facts.hcl {
            Some(text) => quote!(Some(#text)),
            None => quote!(None),
        };
        let (default, unit, values) = (facts.default, facts.unit, facts.values);
        let (label, zero, omit, interpolated) = (facts.label, facts.zero, facts.omit, facts.interpolated);
        let stored = match facts.stored.as_str() {
            "" => quote!(Same),
            "zero" => quote!(Zero),
            "null" => quote!(Null),
            "absent" => quote!(Absent),
            "given" => quote!(Given),
            _ => return Err(syn::Error::new_spanned(field, "stored is zero, null, absent or given")),
        };
        let doc = doc(&field.attrs);
        rows.push(quote! {
            ::tarpan_model::schema::Field {
                rust: #rust, json: #json, hcl: #hcl, doc: #doc, default: #default, unit: #unit, values: #values,
                label: #label, zero: #zero, omit: #omit, interpolated: #interpolated,
                stored: ::tarpan_model::schema::Stored::#stored,
                kind: <#ty as ::tarpan_model::schema::FieldType>::KIND,
                child: <#ty as ::tarpan_model::schema::FieldType>::CHILD,
            }
        });
        reads.push(quote!(#index => ::tarpan_model::schema::FieldType::slot(&self.#ident)));
        writes.push(quote!(#index => ::tarpan_model::schema::FieldType::slot_mut(&mut self.#ident)));
    }

    let wire_names = wire::names(name, &names);
    Ok(quote! {
        #wire_names
        impl ::tarpan_model::schema::StaticBlock for #name {
            const SCHEMA: &'static ::tarpan_model::schema::Schema = &::tarpan_model::schema::Schema {
                name: #wire, doc: #block_doc, fields: &[#(#rows),*],
            };
        }
        impl ::tarpan_model::schema::Block for #name {
            fn schema(&self) -> &'static ::tarpan_model::schema::Schema {
                <Self as ::tarpan_model::schema::StaticBlock>::SCHEMA
            }
            fn slot(&self, index: usize) -> ::tarpan_model::schema::Slot<'_> {
                match index { #(#reads,)* _ => unreachable!("field {index} of {}", #wire) }
            }
            fn slot_mut(&mut self, index: usize) -> ::tarpan_model::schema::SlotMut<'_> {
                match index { #(#writes,)* _ => unreachable!("field {index} of {}", #wire) }
            }
        }
        impl ::serde::Serialize for #name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                ::tarpan_model::schema::serialize(self, serializer)
            }
        }
        impl<'de> ::serde::Deserialize<'de> for #name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                ::tarpan_model::schema::deserialize(deserializer)
            }
        }
    })
}

fn named_fields(input: &DeriveInput) -> syn::Result<&FieldsNamed> {
    match &input.data {
        Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) => Ok(fields),
        _ => Err(syn::Error::new_spanned(input, "this is derived on structs with named fields")),
    }
}

fn block_json(attrs: &[Attribute]) -> syn::Result<Option<String>> {
    let mut found = None;
    for attr in attrs.iter().filter(|a| a.path().is_ident("block")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("json") {
                found = Some(meta.value()?.parse::<syn::LitStr>()?.value());
                return Ok(());
            }
            Err(meta.error("block knows json"))
        })?;
    }
    Ok(found)
}

fn facts(attrs: &[Attribute]) -> syn::Result<FieldFacts> {
    let mut facts = FieldFacts::default();
    for attr in attrs.iter().filter(|a| a.path().is_ident("field")) {
        attr.parse_nested_meta(|meta| {
            let key = meta.path.require_ident()?.to_string();
            match key.as_str() {
                "label" => facts.label = true,
                "zero" => facts.zero = true,
                "omit" => facts.omit = true,
                "interpolated" => facts.interpolated = true,
                _ => {
                    let value = meta.value()?.parse::<syn::LitStr>()?.value();
                    match key.as_str() {
                        "json" => facts.json = Some(value),
                        "hcl" => facts.hcl = Some(value),
                        "default" => facts.default = value,
                        "unit" => facts.unit = value,
                        "values" => facts.values = value,
                        "stored" => facts.stored = value,
                        _ => {
                            return Err(meta.error(
                                "field knows json, hcl, default, unit, values, stored, label, zero, omit, interpolated",
                            ));
                        }
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(facts)
}

fn doc(attrs: &[Attribute]) -> String {
    let mut text = String::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attr.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value
        {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(line.value().trim());
        }
    }
    text
}
