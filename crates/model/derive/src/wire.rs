//! `#[derive(Wire)]`: the names of a struct's fields as serde writes them, as constants with the fields' types.

use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Attribute, DeriveInput, Expr, Ident, LitStr, Token, Type};

use crate::named_fields;

pub fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let pascal = match text(&input.attrs, "rename_all")?.as_deref() {
        None => false,
        Some("PascalCase") => true,
        Some(_) => return Err(syn::Error::new_spanned(input, "Wire knows rename_all = \"PascalCase\" only")),
    };
    let mut found = Vec::new();
    for field in &named_fields(input)?.named {
        let ident = field.ident.as_ref().expect("named fields have names");
        let name = match text(&field.attrs, "rename")? {
            Some(name) => name,
            None if pascal => in_pascal_case(&ident.to_string()),
            None => ident.to_string(),
        };
        found.push((ident, &field.ty, name));
    }
    Ok(names(&input.ident, &found))
}

/// The implementation, from each field's name, type and name on the wire.
pub fn names(of: &Ident, fields: &[(&Ident, &Type, String)]) -> Tokens {
    let idents: Vec<_> = fields.iter().map(|f| f.0).collect();
    let types: Vec<_> = fields.iter().map(|f| f.1).collect();
    let names: Vec<_> = fields.iter().map(|f| &f.2).collect();
    quote! {
        const _: () = {
            pub struct Fields {
                #(pub #idents: ::tarpan_model::wire::Field<#of, #types>,)*
            }
            impl ::tarpan_model::wire::Wire for #of {
                type Fields = Fields;
                const FIELDS: Fields = Fields { #(#idents: ::tarpan_model::wire::Field::new(#names),)* };
            }
            impl ::tarpan_model::wire::Reads<#of> for #of {}
            impl ::tarpan_model::wire::Reads<Option<#of>> for #of {}
        };
    }
}

/// The text of serde's attribute `key = "…"`; all others are serde's own business.
fn text(attrs: &[Attribute], key: &str) -> syn::Result<Option<String>> {
    let mut found = None;
    for attr in attrs.iter().filter(|a| a.path().is_ident("serde")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("flatten") {
                return Err(meta.error("the fields of a flattened field have no place in Wire"));
            }
            if meta.path.is_ident(key) {
                found = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.input.peek(Token![=]) {
                meta.value()?.parse::<Expr>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn in_pascal_case(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|c| c.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    name.split('_').map(word).collect()
}
